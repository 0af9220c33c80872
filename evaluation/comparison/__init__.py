"""Methods side by side: means over cases, intervals, tests, ranks, plots."""
