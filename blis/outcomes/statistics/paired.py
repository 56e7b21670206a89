"""How far two series that were observed together are apart in a quantile."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import InputError
from blis.outcomes.statistics.estimates import Estimate, batch_means, batch_quantile


def paired_quantiles(
    first: NDArray[Any], second: NDArray[Any], probability: float, confidence: float = 0.95
) -> Estimate:
    """Estimate how much higher a quantile of the second series is, the two being observed in pairs.

    A quantile is about linear in the observations (Bahadur 1966): each adds (p − [x ≤ q]) / f(q) / n to its error,
    f the density. The difference of these terms is one series, in which what both have in common cancels, and batch
    means of it give the standard error. The density is the slope of the distribution function over the interval of
    `batch_quantile` (Francisco and Fuller 1991).

    Args:
        first: (n,) observations in the order in which they were made.
        second: (n,) those of the same occasions.
        probability: which quantile, above 0 and below 1.
        confidence: of the interval.

    Raises:
        InputError: the series differ in length, or as `batch_quantile`.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise InputError(f"both series must have one length, got {a.shape} and {b.shape}")
    terms = np.zeros(len(a))
    difference = 0.0
    for series, sign in ((a, -1.0), (b, 1.0)):
        one = batch_quantile(series, probability, confidence, warm_up=0)
        difference += sign * one.mean
        inside = float(((series > one.low) & (series <= one.high)).mean())
        width = one.high - one.low
        if not math.isfinite(width):
            gap = float(np.quantile(b, probability) - np.quantile(a, probability))
            return Estimate(gap, -math.inf, math.inf, one.effective_sample_size, one.num_batches)
        if width > 0:
            terms += sign * width / inside * (probability - (series <= one.mean))
    error = batch_means(terms, confidence, warm_up=0)
    margin = error.high - error.mean
    return Estimate(
        difference, difference - margin, difference + margin, error.effective_sample_size, error.num_batches
    )
