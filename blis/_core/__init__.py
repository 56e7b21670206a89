"""The compiled engine: plain arrays in, plain arrays out. Imports numpy and numba only."""
