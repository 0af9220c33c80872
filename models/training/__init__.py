"""Interchange training: what is minimised, by which steps, and what is logged of them."""
