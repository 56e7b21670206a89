"""Reading strictly, and writing whole or not at all."""
