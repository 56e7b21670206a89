"""Steps and requests of a run over time, for viewers of Chrome traces such as Perfetto."""
