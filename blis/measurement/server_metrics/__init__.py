"""Figures of a vLLM server, as its `/metrics` gives them, and beside those of a simulation."""
