"""A model as a list of layers: what each is made of, and what that weighs, caches and computes."""
