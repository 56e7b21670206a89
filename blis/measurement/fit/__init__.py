"""Coefficients of step time from measurements."""
