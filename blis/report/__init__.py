"""Metrics as people and programs read them."""
