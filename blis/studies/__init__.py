"""Answers of many runs: sweeps, capacities, plans, comparisons, scores of policies."""
