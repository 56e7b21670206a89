"""Lengths of requests: exact percentiles, from how often each length occurs."""

from __future__ import annotations

from typing import Any

import numpy as np

from blis.workload.requests import Ints

PERCENTILES = (50, 90, 95, 99)


class Lengths:
    """Counts lengths as they come; memory is bounded by how many different ones there are."""

    def __init__(self) -> None:
        self._values = np.empty(0, dtype=np.int64)
        self._counts = np.empty(0, dtype=np.int64)

    def add(self, lengths: Ints) -> None:
        """Count some lengths."""
        values, counts = np.unique(lengths, return_counts=True)
        self._values, where = np.unique(np.concatenate((self._values, values)), return_inverse=True)
        counts = np.concatenate((self._counts, counts))
        self._counts = np.zeros(len(self._values), dtype=np.int64)
        np.add.at(self._counts, where, counts)

    @property
    def total(self) -> int:
        """The sum of all lengths."""
        return int(self._values @ self._counts)

    def describe(self) -> dict[str, Any]:
        """Mean, percentiles (interpolated linearly between ranks), least, most and sum; one length at least."""
        upto = np.cumsum(self._counts)
        count = int(upto[-1])
        figures: dict[str, Any] = {"mean": self.total / count}
        for percentile in PERCENTILES:
            rank = (count - 1) * percentile / 100
            low, high = self._values[np.searchsorted(upto, [int(rank), -int(-rank // 1)], side="right")].tolist()
            figures[f"p{percentile}"] = low + (high - low) * (rank - int(rank))
        return figures | {"min": int(self._values[0]), "max": int(self._values[-1]), "total": self.total}
