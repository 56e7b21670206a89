"""Readers of families of models: each knows what its class takes for granted.

Class defaults are those of HuggingFace transformers 5.24, and of the models' own code where that has none.
"""
