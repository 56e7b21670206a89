"""What can be simulated without giving files: models, GPUs, policies and workloads, with their figures."""
