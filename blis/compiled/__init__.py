"""Compiled functions behind addresses, and their machine code for the next process."""
