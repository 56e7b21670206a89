"""What becomes of a GPU's memory when vLLM starts a model on it."""
