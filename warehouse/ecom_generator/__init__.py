"""An online shop's raw zone: lookups, carts, orders and returns as messy CSV, then as typed Parquet by day."""

GENERATOR_VERSION = "1.0.0"
"""Changes whenever the same settings and id state would give other bytes."""
