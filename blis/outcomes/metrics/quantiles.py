"""Quantiles of durations at even shares, for curves of bounded size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis.outcomes.outcomes import ItlHistogram

Floats = NDArray[np.float64]


def quantiles_ms(values_us: NDArray[np.int64] | Floats, shares: Floats) -> Floats:
    """(k,) quantiles of (n,) durations, n >= 1, at k shares, interpolated linearly."""
    found: Floats = np.quantile(values_us, shares) / 1000
    return found


def histogram_quantiles_ms(gaps: ItlHistogram, shares: Floats) -> Floats:
    """The same of a histogram, as if each value were there as often as it says; no interpolation."""
    running = np.cumsum(gaps.counts)
    places = np.searchsorted(running, shares * (running[-1] - 1), side="right")
    found: Floats = gaps.values_us[places] / 1000
    return found
