"""Sample source tables for identity resolution: a made-up software company's shops, people, sales notes and mail."""
