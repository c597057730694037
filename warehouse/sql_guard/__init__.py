"""Reads the SQL of a fix in its parsed form: says what it does, or why it may not run."""
