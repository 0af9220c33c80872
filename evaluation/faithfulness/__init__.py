"""What circuits do on their own: made of scores at any size, faithful, complete, minimal."""
