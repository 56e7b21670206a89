"""Models of step time and of KV capacity."""
