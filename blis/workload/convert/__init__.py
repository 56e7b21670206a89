"""Traces in other people's formats, read piece by piece and written as ours (docs/workload-formats.md)."""
