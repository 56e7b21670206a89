"""Histograms of Prometheus: what is known of values of which only the numbers within buckets are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, eq=False)
class Histogram:
    """Values >= 0 by the bucket they fell into.

    Attributes:
        bounds: (b,) upper bounds of the buckets, which belong to them, ascending; the last one is infinite.
        upto: (b,) how many values are at most that.
        total: sum of all values.
    """

    bounds: NDArray[np.float64]
    upto: NDArray[np.float64]
    total: float

    @property
    def count(self) -> int:
        """How many values."""
        return int(self.upto[-1])

    @property
    def mean(self) -> float | None:
        """Of all values, exact; None: there are none."""
        return self.total / self.count if self.count else None

    def percentile(self, percentile: float) -> tuple[float, float | None, float | None]:
        """Where a percentile is; there must be a value.

        Returns:
            Its bucket's lower and upper bound, and where it would be if values were spread evenly between these. The
            last two are None in the last bucket, which has no end.
        """
        rank = percentile / 100 * self.count
        at = int(np.searchsorted(self.upto, max(rank, np.nextafter(0, 1))))
        low, before = (0.0, 0.0) if at == 0 else (float(self.bounds[at - 1]), float(self.upto[at - 1]))
        high = float(self.bounds[at])
        if math.isinf(high):
            return low, None, None
        share = (rank - before) / (float(self.upto[at]) - before)
        return low, high, low + share * (high - low)

    def since(self, earlier: Histogram) -> Histogram:
        """What was added to an earlier one with the same bounds."""
        return Histogram(self.bounds, self.upto - earlier.upto, self.total - earlier.total)

    def plus(self, other: Histogram) -> Histogram:
        """Both together; their bounds must be the same."""
        return Histogram(self.bounds, self.upto + other.upto, self.total + other.total)
