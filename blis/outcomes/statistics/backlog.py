"""How many requests there are over time, from when they come and go."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mean_number(stamps: NDArray[Any], window_us: tuple[float, float], bins: int) -> Floats:
    """(bins,) mean over each piece of a window of how many of the sorted stamps there have been."""
    start, end = window_us
    edges = start + np.arange(bins + 1) * ((end - start) / bins)
    edges[-1] = end
    reached = np.searchsorted(stamps, edges, "right")
    since = stamps - start  # sums of times since 1970 would have no digits left for the differences
    running = np.empty(len(stamps) + 1)
    running[0] = 0
    np.cumsum(since, dtype=np.float64, out=running[1:])
    sums = running[reached]
    within = (reached[1:] - reached[:-1]) * (edges[1:] - start) - (sums[1:] - sums[:-1])
    area: Floats = reached[:-1] + within * (bins / (end - start))
    return area
