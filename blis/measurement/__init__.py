"""Real servers: measured, compared with simulations, and fitted."""
