"""Whether a system keeps up with its arrivals, or its backlog grows for as long as they go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis.errors import InputError

Floats = NDArray[np.float64]

#: Pieces of time over which the number in the system is averaged.
BINS = 128
#: Fewer arrivals in the window than this say nothing.
FEWEST_ARRIVALS = 30
#: A system that starts empty is left so many sojourns of its first requests to fill.
FILLING_SOJOURNS = 2
#: And this share of the time at most.
MOST_FILLING = 2 / 3
#: Chance of calling a system overloaded whose backlog only wanders.
FALSE_ALARM = 0.01
#: A growth within the window of this share of the mean backlog is worth a word, if it is certain.
MATERIAL_GROWTH = 0.25
#: And this share of the arrivals that pile up.
MATERIAL_SHARE = 0.005
#: Stable is only what certainly (95 %, one-sided) piles up less than this share of its arrivals.
EXCLUDED_SHARE = 0.05
EXCLUDED_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Stability:
    """What the number of requests in the system does over time.

    Attributes:
        stable: False: the backlog grows; True: it does not; None: the series is too short to tell.
        growth_per_s: trend of the number in the system, requests per second; nan if there is no window to look at.
        growth_error_per_s: its standard error.
        mean_backlog: mean number in the system within the window.
        arrivals_per_s: arrival rate within the window.
        window_us: from when to when it was looked at.
    """

    stable: bool | None
    growth_per_s: float
    growth_error_per_s: float
    mean_backlog: float
    arrivals_per_s: float
    window_us: tuple[float, float]

    @property
    def utilisation(self) -> float | None:
        """Arrivals per request that gets through, above 1 if overloaded; None unless the backlog grows."""
        served_per_s = self.arrivals_per_s - self.growth_per_s
        if self.stable is not False:
            return None
        return self.arrivals_per_s / served_per_s if served_per_s > 0 else math.inf


def stability(arrival_us: NDArray[Any], done_us: NDArray[Any], *, end_us: float | None = None) -> Stability:
    """Tell whether the backlog drifts upwards while requests arrive.

    What is looked at is the number in the system, averaged over 128 equal pieces of the time from when it had time to
    fill (2 mean sojourns of the first requests) until the last arrival: afterwards any backlog drains. Its trend and
    the error of that come from `trend`, which holds for a backlog that returns to its level as for one that wanders.

    It is *overloaded* if the trend is positive with 99 % confidence, and makes up a quarter of the mean backlog and
    0.5 % of the arrivals. It is *stable* if with 95 % confidence the growth is less than the mean backlog, and than 5 %
    of the arrivals. Otherwise the series is too short to tell, as it is if filling takes two thirds of it.

    Args:
        arrival_us: (n,) when requests arrived, in any order; only those that came to be served.
        done_us: (n,) when each left; negative: it was there to the end.
        end_us: when observation ended, if before the last arrival.

    Raises:
        InputError: the columns differ in length, or a request left before it arrived.
    """
    arrival, done = np.asarray(arrival_us), np.asarray(done_us)
    if arrival.shape != done.shape or arrival.ndim != 1:
        raise InputError(f"arrival_us and done_us must have one length, got {arrival.shape} and {done.shape}")
    gone = done >= 0
    if (done < arrival)[gone].any():
        row = int(np.flatnonzero(gone & (done < arrival))[0])
        raise InputError(f"done_us[{row}]: must not be before the arrival at {arrival[row]}, got {done[row]}")
    if len(arrival) < FEWEST_ARRIVALS:
        return _too_short()
    if (arrival[1:] < arrival[:-1]).any():
        order = np.argsort(arrival, kind="stable")
        arrival, done, gone = arrival[order], done[order], gone[order]
    begin, end = float(arrival[0]), float(arrival[-1] if end_us is None else min(arrival[-1], end_us))
    start = begin + FILLING_SOJOURNS * _first_sojourn(arrival, done, end)
    count = int(np.searchsorted(arrival, end, "right") - np.searchsorted(arrival, start, "left"))
    if count < FEWEST_ARRIVALS or end == begin or start > begin + MOST_FILLING * (end - begin):
        return _too_short()
    backlog = _area(arrival, start, end) - _area(np.sort(done[gone]), start, end)
    return _judged(backlog, count, (start, end))


class Trend(NamedTuple):
    """A line through a series of equally spaced observations.

    Attributes:
        slope: per observation.
        standard_error: of the slope.
    """

    slope: float
    standard_error: float


def trend(series: NDArray[Any]) -> Trend:
    """Fit a line whose standard error holds for errors that return to zero and for those that wander (unit root).

    Perron and Yabu (2009, "Estimating deterministic trends with an integrated or stationary noise component"):
    feasible generalised least squares for errors of AR(1), whose coefficient a, corrected for its bias by (2 + 4 a) / n
    (Kendall 1954, with a trend in the regression), counts as 1 when within n^-1/2 of it; the slope over its standard
    error is then standard normal in either case. The long-run variance of what is left is Newey and West's (1987),
    with 4 (n/100)^(2/9) lags.

    Args:
        series: (n,) at least 10 observations.
    """
    values = np.asarray(series, np.float64)
    count = len(values)
    design = np.column_stack([np.ones(count), np.arange(count) - (count - 1) / 2])
    line, left = _least_squares(design, values)
    if left @ left <= 1e-18 * (values @ values):  # a straight line but for rounding
        return Trend(float(line[1]), 0.0)
    coefficient = float(left[1:] @ left[:-1]) / float(left[:-1] @ left[:-1])
    coefficient += (2 + 4 * coefficient) / count
    if coefficient > 1 - count**-0.5:
        steps = np.diff(values)
        slope = float(steps.mean())
        return Trend(slope, math.sqrt(_long_run_variance(steps - slope) / len(steps)))
    coefficient = max(coefficient, 0.0)
    first = math.sqrt(1 - coefficient**2)  # Prais and Winsten keep the first observation
    design = np.vstack([first * design[:1], design[1:] - coefficient * design[:-1]])
    line, left = _least_squares(design, np.append(first * values[0], values[1:] - coefficient * values[:-1]))
    spread = float(np.linalg.inv(design.T @ design)[1, 1])
    return Trend(float(line[1]), math.sqrt(_long_run_variance(left) * spread))


def _judged(backlog: Floats, count: int, window: tuple[float, float]) -> Stability:
    line = trend(backlog)
    growth, error, mean = line.slope * len(backlog), line.standard_error * len(backlog), float(backlog.mean())
    highest = growth + NormalDist().inv_cdf(EXCLUDED_CONFIDENCE) * error
    stable = None
    if growth > max(NormalDist().inv_cdf(1 - FALSE_ALARM) * error, MATERIAL_GROWTH * mean, MATERIAL_SHARE * count):
        stable = False
    elif highest <= min(mean, EXCLUDED_SHARE * count):
        stable = True
    seconds = (window[1] - window[0]) / 1e6
    return Stability(stable, growth / seconds, error / seconds, mean, count / seconds, window)


def _too_short() -> Stability:
    return Stability(None, math.nan, math.nan, math.nan, math.nan, (math.nan, math.nan))


def _first_sojourn(arrival: NDArray[Any], done: NDArray[Any], end: float) -> float:
    """Mean time in the system of the first 2 % of all requests, ten at least."""
    first = slice(0, max(10, len(arrival) // 50))
    left = np.where(done[first] >= 0, done[first], np.maximum(end, arrival[first]))
    return float((left - arrival[first]).mean())


def _area(stamps: NDArray[Any], start: float, end: float) -> Floats:
    """(BINS,) mean over each piece of [start, end] of how many of the sorted stamps there have been."""
    edges = np.linspace(start, end, BINS + 1)
    reached = np.searchsorted(stamps, edges, "right")
    since = stamps - start  # sums of times since 1970 would have no digits left for the differences
    sums = np.diff(np.concatenate([[0.0], np.cumsum(since, dtype=np.float64)])[reached])
    within = np.diff(reached) * (edges[1:] - start) - sums
    area: Floats = reached[:-1] + within * (BINS / (end - start))
    return area


def _least_squares(design: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Coefficients and residuals."""
    line = np.asarray(np.linalg.lstsq(design, values, rcond=None)[0], np.float64)
    left = values - design @ line
    return line, left


def _long_run_variance(left: Floats) -> float:
    """Bartlett-weighted sum of autocovariances; positive correlation widens, negative never narrows."""
    count = len(left)
    lags = int(4 * (count / 100) ** (2 / 9))
    variance = float(left @ left) / count
    covariances = [float(left[lag:] @ left[:-lag]) / count for lag in range(1, lags + 1)]
    weights = [1 - lag / (lags + 1) for lag in range(1, lags + 1)]
    total = variance + 2 * sum(weight * each for weight, each in zip(weights, covariances, strict=True))
    return max(total, variance)
