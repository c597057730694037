"""Order items of retailers' shops, old ones ingested again and again, made from a seed."""
