"""Runs: methods over models and seeds, and the results that they leave."""
