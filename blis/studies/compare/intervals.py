"""Intervals of the difference between two runs: request by request if they served the same ones, else of each alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from blis.outcomes.statistics.estimates import Estimate, batch_means, batch_quantile
from blis.outcomes.statistics.paired import paired_quantiles
from blis.studies.compare.sides import DURATIONS, Floats, Ints, Requests

#: Means and quantiles of fewer requests get no interval.
FEWEST_REQUESTS = 20
_QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


class Interval(NamedTuple):
    """Ends of an interval of a difference; infinite where the runs are too short to bound it."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference is significant."""
        return self.low > 0 or self.high < 0


def pair(first: Requests, second: Requests) -> Ints | None:
    """Match the requests of two runs, if all of them have the same ids, arrivals and lengths.

    A request that came after the end of one of the runs has no arrival there, and any will do.

    Returns:
        (n,) where each request of the first run stands in the second; None: they did not serve the same requests.
    """
    if len(first.number) != len(second.number) or len(first.number) == 0:
        return None
    by_number, other = np.argsort(first.number, kind="stable"), np.argsort(second.number, kind="stable")
    for column in ("number", "input_tokens", "output_tokens"):
        if (getattr(first, column)[by_number] != getattr(second, column)[other]).any():
            return None
    arrivals = first.arrival_us[by_number], second.arrival_us[other]
    came_in_both = (arrivals[0] >= 0) & (arrivals[1] >= 0)
    if (arrivals[0] != arrivals[1])[came_in_both].any() or not came_in_both.any():
        return None
    place = np.empty(len(other), np.int64)
    place[by_number] = other
    return place


def difference_intervals(
    first: Requests, second: Requests, pairing: Ints | None, confidence: float
) -> Mapping[str, Interval]:
    """Intervals of how much higher the second run is, by the keys of the summary.

    Args:
        first: requests of one run.
        second: of the other.
        pairing: what `pair` gives; None: the runs are independent.
        confidence: of each interval.
    """
    intervals: dict[str, Interval] = {}
    for name in DURATIONS:
        a, b = first.durations_ms[name], second.durations_ms[name]
        if pairing is not None:
            b = b[pairing]
            in_both = ~np.isnan(a) & ~np.isnan(b)
            intervals |= _of_pairs(name, a[in_both], b[in_both], confidence)
        else:
            intervals |= _of_each(name, a[~np.isnan(a)], b[~np.isnan(b)], confidence)
    return intervals


def _of_pairs(name: str, a: Floats, b: Floats, confidence: float) -> dict[str, Interval]:
    """By the differences of the same request, whose shared ups and downs cancel."""
    if len(a) < FEWEST_REQUESTS:
        return {}
    mean = batch_means(b - a, confidence, warm_up=0)
    intervals = {f"{name}_mean_ms": Interval(mean.low, mean.high)}
    for label, probability in _QUANTILES.items():
        gap = paired_quantiles(a, b, probability, confidence)
        intervals[f"{name}_{label}_ms"] = Interval(gap.low, gap.high)
    return intervals


def _of_each(name: str, a: Floats, b: Floats, confidence: float) -> dict[str, Interval]:
    if min(len(a), len(b)) < FEWEST_REQUESTS:
        return {}
    means = (batch_means(values, confidence, warm_up=0) for values in (a, b))
    intervals = {f"{name}_mean_ms": _minus(*means)}
    for label, probability in _QUANTILES.items():
        quantiles = (batch_quantile(values, probability, confidence, warm_up=0) for values in (a, b))
        intervals[f"{name}_{label}_ms"] = _minus(*quantiles)
    return intervals


def _minus(a: Estimate, b: Estimate) -> Interval:
    """Interval of b − a of two independent estimates from their own intervals (Zou and Donner 2008)."""
    difference = b.mean - a.mean
    return Interval(
        difference - math.hypot(b.mean - b.low, a.high - a.mean),
        difference + math.hypot(b.high - b.mean, a.mean - a.low),
    )
