"""Configuration: text and flags become frozen dataclasses."""
