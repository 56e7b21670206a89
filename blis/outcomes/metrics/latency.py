"""Means and percentiles of durations, exact and by one definition everywhere.

The p-th percentile of ``n`` sorted values lies at rank ``p / 100 * (n - 1)``, interpolated linearly between
the two values around it (NumPy's method ``linear``). Durations come in µs and leave in ms.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

PERCENTILES = (50, 90, 95, 99)

Durations = TypeVar("Durations", Ints, NDArray[np.float64])


def known(values_us: Durations) -> Durations:
    """Those that there are: neither -1 nor nan."""
    return values_us[values_us >= 0]


def duration_figures(name: str, values_us: Ints | NDArray[np.float64]) -> dict[str, float | None]:
    """Mean and percentiles of durations.

    Args:
        name: what the keys start with: ``{name}_mean_ms``, ``{name}_p50_ms``, …
        values_us: (n,) one value per request, none missing, in any order.

    Returns:
        One figure in ms per key; all None without values.
    """
    n = len(values_us)
    ordered = np.sort(values_us)
    return _figures(name, n, ordered.sum().item(), lambda ranks: ordered[ranks].tolist())


def histogram_figures(name: str, values_us: Ints, counts: Ints) -> dict[str, float | None]:
    """Mean and percentiles of durations given as a histogram, as if each value were there ``counts`` times.

    Args:
        name: what the keys start with.
        values_us: (k,) distinct values, ascending.
        counts: (k,) how often each occurs, >= 1.
    """
    running = np.cumsum(counts)
    n = int(running[-1]) if len(running) else 0
    total_us = int(np.dot(values_us, counts))
    return _figures(name, n, total_us, lambda ranks: values_us[np.searchsorted(running, ranks, side="right")].tolist())


def _figures(name: str, n: int, total_us: float, at: Callable[[list[int]], list[float]]) -> dict[str, float | None]:
    keys = _keys(name)
    if n == 0:
        return dict.fromkeys(keys)
    ranks = [p / 100 * (n - 1) for p in PERCENTILES]
    below = [math.floor(rank) for rank in ranks]
    found = at(below + [math.ceil(rank) for rank in ranks])
    percentiles = [
        low / 1000 + (high - low) * (rank - least) / 1000
        for rank, least, low, high in zip(ranks, below, found, found[len(ranks) :], strict=False)
    ]
    return dict(zip(keys, [total_us / n / 1000, *percentiles], strict=True))


@functools.cache
def _keys(name: str) -> list[str]:
    return [f"{name}_mean_ms", *(f"{name}_p{p}_ms" for p in PERCENTILES)]
