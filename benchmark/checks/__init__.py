"""What callers hand in, checked at the public functions: kinds, values, names."""
