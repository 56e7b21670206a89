"""What the outcomes of a run mean. Sees outcomes only, never the engine."""
