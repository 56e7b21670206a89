"""How much load a deployment bears within its SLOs, and how many instances a load needs."""
