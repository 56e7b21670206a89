"""How long prompts and outputs are: draws of token counts."""

from __future__ import annotations

import numpy as np

from blis.workload.requests import Ints


def clamped_normal(
    rng: np.random.Generator, count: int, *, mean: float, stdev: float, minimum: int, maximum: int
) -> Ints:
    """Draw token counts: normal, clamped to [minimum, maximum], rounded half up.

    Clamping (unlike drawing again) heaps the tails on the bounds and moves the mean if a bound is near.

    Args:
        rng: where the draws come from; untouched if ``minimum == maximum``.
        count: how many.
        mean: of the normal distribution, in tokens.
        stdev: of the normal distribution, in tokens, >= 0.
        minimum: least count, >= 0.
        maximum: largest count.
    """
    if minimum == maximum:
        return np.full(count, minimum, dtype=np.int64)
    drawn = rng.standard_normal(count)
    drawn *= stdev
    drawn += mean
    np.clip(drawn, minimum, maximum, out=drawn)
    whole = np.floor(drawn)
    whole += drawn - whole >= 0.5  # floor(x + 0.5) would round 0.49999999999999994 up
    return whole.astype(np.int64)
