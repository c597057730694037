"""Sample landing files for the Talbots pipeline: deterministic, messy, with known defects on known days."""
