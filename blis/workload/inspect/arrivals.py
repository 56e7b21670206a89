"""How requests arrive: rate, burstiness of gaps and of counts, overall and over time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.workload.requests import Ints

#: Into so many equal windows the time from the first to the last arrival is cut.
NUM_WINDOWS = 60
#: Counts are compared over times of this length.
DISPERSION_S = (1, 60)

#: A coefficient of variation of fewer gaps says nothing.
_LEAST_GAPS = 10
#: And an index of dispersion of fewer counts.
_LEAST_COUNTS = 10


def describe_arrivals(arrival_us: Ints) -> dict[str, Any]:
    """Figures of when requests arrive.

    Args:
        arrival_us: (n,) ascending, n >= 1.

    Returns:
        ``first_s``, ``last_s``, ``span_s``; ``rate_per_s`` (gaps per time they take) and ``gap_cv``, the coefficient of
        variation of the gaps; ``dispersion``: variance of the number of arrivals per 1 s and 60 s over its
        mean (1 for a Poisson process); ``window_s`` and, per window, ``window_rate_per_s`` and ``window_gap_cv``
        (of gaps that end in the window). What cannot be computed is None.
    """
    first, last = int(arrival_us[0]), int(arrival_us[-1])
    span_s = (last - first) / 1e6
    gaps = np.diff(arrival_us)
    figures: dict[str, Any] = {
        "first_s": first / 1e6,
        "last_s": last / 1e6,
        "span_s": span_s,
        "rate_per_s": len(gaps) / span_s if span_s else None,
        "gap_cv": _cv(gaps, 2),
        "dispersion": {f"{width}_s": _dispersion(arrival_us, width * 1_000_000) for width in DISPERSION_S},
    }
    if not span_s:
        return figures | {"window_s": None, "window_rate_per_s": [], "window_gap_cv": []}
    edges = first + np.arange(1, NUM_WINDOWS) * (last - first) / NUM_WINDOWS
    bounds = np.concatenate(([0], np.searchsorted(arrival_us, edges), [len(arrival_us)]))
    width_s = span_s / NUM_WINDOWS
    return figures | {
        "window_s": width_s,
        "window_rate_per_s": (np.diff(bounds) / width_s).tolist(),
        "window_gap_cv": [
            _cv(gaps[max(start, 1) - 1 : max(end, 1) - 1], _LEAST_GAPS)
            for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        ],
    }


def _cv(gaps: NDArray[Any], least: int) -> float | None:
    if len(gaps) < least or not gaps.any():
        return None
    return float(gaps.std() / gaps.mean())


def _dispersion(arrival_us: Ints, width_us: int) -> float | None:
    """Variance over mean of the counts of all whole times of that width."""
    num_counts = int(arrival_us[-1] - arrival_us[0]) // width_us
    if num_counts < _LEAST_COUNTS:
        return None
    position = (arrival_us - arrival_us[0]) // width_us
    counts = np.unique(position[position < num_counts], return_counts=True)[1].astype(np.float64)
    mean = counts.sum() / num_counts
    return float(((counts**2).sum() / num_counts - mean**2) / mean)
