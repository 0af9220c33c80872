"""Benchmarks of speed, each against a baseline in the same process."""
