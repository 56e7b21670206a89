"""Memory of a GPU: what weights and work take of it, and how vLLM divides the rest into KV blocks."""
