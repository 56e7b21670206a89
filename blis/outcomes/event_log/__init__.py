"""Event logs: what happened to each request, and in each step, line by line in the order of the clock."""
