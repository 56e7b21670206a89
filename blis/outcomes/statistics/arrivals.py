"""How the arrival rate goes over time: constant, rising, falling, or up and down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Chance of calling a constant rate anything else.
FALSE_ALARM = 0.001
#: Rates whose highest piece has less than this much above their mean count as constant: nobody would act on it.
MATERIAL_PEAK = 1.1
#: Correlation of rate and time from which on it rises or falls; a step half-way has 0.87, half a sine 0.97.
MONOTONE = 0.85
#: Fewer arrivals say nothing.
FEWEST_ARRIVALS = 30
#: Pieces whose rates are compared, and the bins in each that tell how much chance there is in them.
PIECES, BINS_PER_PIECE = 8, 16
#: The peak is looked for in pieces of at least so many arrivals: chance makes it a few percent too high at most.
ARRIVALS_PER_PEAK = 2000
MOST_PEAK_PIECES = 32


@dataclass(frozen=True)
class ArrivalRate:
    """Arrivals per second over time.

    Attributes:
        course: ``constant``, ``rises``, ``falls`` or ``varies``.
        mean_per_s: over the whole time.
        peak_per_s: in the piece of time with most of them; the mean if constant.
        peak_us: from when to when that was.
    """

    course: str
    mean_per_s: float
    peak_per_s: float
    peak_us: tuple[float, float]

    @property
    def is_constant(self) -> bool:
        """Whether chance explains all there is of ups and downs."""
        return self.course == "constant"


def _chi_squared(freedom: int, probability: float) -> float:
    """Its quantile by Wilson and Hilferty (1931, *PNAS* 17), good to 1 % here."""
    spread = 2 / (9 * freedom)
    return freedom * (1 - spread + NormalDist().inv_cdf(probability) * math.sqrt(spread)) ** 3


#: What the pieces' counts are apart by chance, and how far they lean.
_MOST_APART = _chi_squared(PIECES - 1, 1 - FALSE_ALARM)
_MOST_LEANING = NormalDist().inv_cdf(1 - FALSE_ALARM / 2)


def arrival_rate(arrival_us: NDArray[Any], end_us: float | None = None) -> ArrivalRate | None:
    """Tell how the rate of arrivals goes.

    Counts in 8 equal pieces of the time are compared with what chance allows: either all of them together (chi-squared)
    or their trend has to be beyond it, at 0.1 %. How much chance allows is the variance of 16 bins within each piece,
    that of the gaps, or Poisson's, whichever is most; so bursts that are short against a piece are no change of rate.

    Args:
        arrival_us: (n,) when requests arrived, ascending.
        end_us: when observation ended, if before the last arrival.

    Returns:
        None with fewer than 30 arrivals, or if all came at once.
    """
    arrival = np.asarray(arrival_us, np.float64)
    if end_us is not None:
        arrival = arrival[: int(np.searchsorted(arrival, end_us, "right"))]
    if len(arrival) < FEWEST_ARRIVALS or arrival[-1] == arrival[0]:
        return None
    seconds = (arrival[-1] - arrival[0]) / 1e6
    mean = len(arrival) / seconds
    course = _course(arrival)
    if course != "constant":
        peak_per_s, peak_us = _peak(arrival)
        if peak_per_s >= MATERIAL_PEAK * mean:
            return ArrivalRate(course, mean, peak_per_s, peak_us)
    return ArrivalRate("constant", mean, mean, (float(arrival[0]), float(arrival[-1])))


def _course(arrival: Floats) -> str:
    bins = _counts(arrival, PIECES * BINS_PER_PIECE)
    counts = bins.reshape(PIECES, BINS_PER_PIECE).sum(1)
    gaps = arrival[1:] - arrival[:-1]
    of_gaps = float(gaps.var()) / (float(gaps.sum()) / len(gaps)) ** 2
    within = float(bins @ bins - counts @ counts / BINS_PER_PIECE) / (PIECES * (BINS_PER_PIECE - 1))
    mean = len(arrival) / PIECES
    dispersion = max(1.0, of_gaps, within * BINS_PER_PIECE / mean)
    off = counts - mean
    place = np.arange(PIECES) - (PIECES - 1) / 2
    allowed = mean * dispersion
    leaning = float(place @ off) / math.sqrt(float(place @ place) * allowed)
    if abs(leaning) <= _MOST_LEANING and float(off @ off) / allowed <= _MOST_APART:
        return "constant"
    together = float(place @ off) / math.sqrt(float(place @ place) * float(off @ off))
    if abs(together) < MONOTONE:
        return "varies"
    return "rises" if together > 0 else "falls"


def _peak(arrival: Floats) -> tuple[float, tuple[float, float]]:
    """Highest rate per second of a piece, and when that is."""
    pieces = int(np.clip(len(arrival) // ARRIVALS_PER_PEAK, PIECES, MOST_PEAK_PIECES))
    counts = _counts(arrival, pieces)
    width = (arrival[-1] - arrival[0]) / pieces
    most = int(counts.argmax())
    begin = float(arrival[0] + most * width)
    return float(counts[most] / (width / 1e6)), (begin, begin + float(width))


def _counts(arrival: Floats, pieces: int) -> Floats:
    edges = np.empty(pieces + 1)
    edges[0], edges[-1] = 0, len(arrival)
    inner = np.arange(1, pieces) * ((arrival[-1] - arrival[0]) / pieces) + arrival[0]
    edges[1:-1] = np.searchsorted(arrival, inner)
    return edges[1:] - edges[:-1]
