"""Where the warm-up of a run ends: MSER-5."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Observations that are averaged before the rule is applied; White's choice.
BATCH = 5
#: Fewer batches than this say nothing about a warm-up.
FEWEST_BATCHES = 10


def mser5(values: NDArray[Any]) -> int:
    """How many observations to leave out at the start, by the marginal standard error rule.

    White (1997, "An effective truncation heuristic for bias reduction in simulation output"), on means of five as
    White, Cobb and Spratt (2000) recommend: cut off the d of k means that minimise Σ (z_i − z̄)² / (k − d)², the
    sum and the mean z̄ over those that are left. At least half of the observations stay; a cut of just half says
    that the series never settled.

    Args:
        values: (n,) observations in the order in which they were made.

    Returns:
        A multiple of five, 0 for fewer than fifty observations.
    """
    series = np.asarray(values, np.float64)
    count = len(series) // BATCH
    if count < FEWEST_BATCHES:
        return 0
    means = series[: count * BATCH].reshape(count, BATCH).mean(axis=1)
    means -= means.mean()  # so that the difference of squares below loses no digits
    left = np.arange(count, count - count // 2 - 1, -1)
    from_end = np.cumsum(means[::-1])[left - 1]
    squares_from_end = np.cumsum(means[::-1] ** 2)[left - 1]
    scores = (squares_from_end - from_end**2 / left) / left.astype(np.float64) ** 2
    return BATCH * int(np.argmin(scores))
