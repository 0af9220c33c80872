"""What scores are worth against a known circuit: areas, curves, tables, statistics."""
