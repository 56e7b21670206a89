"""Measured requests beside what the simulator predicted for them (docs/calibrate.md)."""
