"""Means and quantiles of a correlated series, with intervals that respect the correlation.

Latencies of successive requests are alike: a queue that is long now is long a moment later. An interval that takes
them for independent is far too narrow. Here as everywhere in the field, means of long batches stand in for
independent observations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis.errors import InputError
from blis.outcomes.statistics import student
from blis.outcomes.statistics.warm_up import mser5

Floats = NDArray[np.float64]

#: Batches to begin with, if the series is long enough for batches of more than one.
MOST_BATCHES = 1024
#: Batches do not grow any further if there would be fewer.
FEWEST_BATCHES = 20
#: Batches grow until the chance of a lag-1 correlation as high as theirs, were they independent, is above this.
INDEPENDENCE_LEVEL = 0.3
#: How many standard errors the mean of a warm-up must be away from that of the rest.
WARM_UP_STANDARD_ERRORS = 4.0
#: The autocorrelation of batch means that intervals are widened for at most.
_MOST_CORRELATION = 0.9


@dataclass(frozen=True)
class Estimate:
    """A figure and an interval that contains the true one with the confidence asked for.

    Attributes:
        mean: of the observations, the warm-up left out; for a quantile, that quantile of them.
        low: lower end; -inf if the series is too short to bound it.
        high: upper end; inf likewise.
        effective_sample_size: how many independent observations would tell as much, at most as many as there are.
        num_batches: how many batches (or replications) the interval was computed from.
        warm_up: how many observations at the start were left out.
    """

    mean: float
    low: float
    high: float
    effective_sample_size: float
    num_batches: int
    warm_up: int = 0


class _Precision(NamedTuple):
    """How well the mean of a series is known."""

    standard_error: float
    num_batches: int


def batch_means(values: NDArray[Any], confidence: float = 0.95, *, warm_up: int | None = None) -> Estimate:
    """Estimate the mean of a stationary, correlated series by nonoverlapping batch means.

    Batches start as single observations, or as 1/1024 of a longer series, and double in size until von Neumann's
    ratio (1941) no longer rejects that their means are uncorrelated, at a level of 30 % (one-sided), or until there
    would be fewer than 20. What correlation φ of neighbours is left widens the interval by √((1 + φ) / (1 − φ)), as
    in Skart (Tafazzoli, Wilson, Lada and Steiger 2011), and Student's t with one degree fewer than batches gives its
    length. The rule of growing batches by that test is Fishman's (1978).

    Args:
        values: (n,) observations in the order in which they were made.
        confidence: of the interval, above 0 and below 1.
        warm_up: leave out so many at the start; None: what `warm_up_of` finds.

    Raises:
        InputError: there are no values, some are not finite, or the confidence is not between 0 and 1.
    """
    series = _checked(values, confidence)
    start = warm_up_of(series) if warm_up is None else _checked_start(warm_up, len(series))
    series = series[start:]
    precision = _precision(series)
    margin = _margin(precision, confidence)
    mean = float(series.mean())
    size = _effective_size(series, precision.standard_error)
    return Estimate(mean, mean - margin, mean + margin, size, precision.num_batches, start)


def batch_quantile(
    values: NDArray[Any], probability: float, confidence: float = 0.95, *, warm_up: int | None = None
) -> Estimate:
    """Estimate a quantile of a stationary, correlated series.

    The share of observations up to the quantile q is the mean of the series of 0 and 1 that says which are; batch
    means of that series give an interval of the share, and the quantiles at its two ends are the interval of q
    (Woodruff 1952; for correlated series Heidelberger and Lewis 1984). Interpolation between ranks is linear.

    Args:
        values: (n,) observations in the order in which they were made.
        probability: which quantile, above 0 and below 1.
        confidence: of the interval.
        warm_up: leave out so many at the start; None: what `warm_up_of` finds.

    Raises:
        InputError: as `batch_means`; or the probability is not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise InputError(f"probability must be above 0 and below 1, got {probability}")
    series = _checked(values, confidence)
    start = warm_up_of(series) if warm_up is None else _checked_start(warm_up, len(series))
    series = series[start:]
    quantile = float(np.quantile(series, probability))
    below = (series <= quantile).astype(np.float64)
    precision = _precision(below)
    margin = _share_margin(precision, probability, len(series), confidence)
    low, high = (_quantile_at(series, share) for share in (probability - margin, probability + margin))
    size = _effective_size(below, precision.standard_error)
    return Estimate(quantile, low, high, size, precision.num_batches, start)


def replications(values: NDArray[Any], confidence: float = 0.95) -> Estimate:
    """Estimate a mean from independent replications, one value of each: Student's t.

    Args:
        values: (n,) one figure per replication, such as a run with a seed of its own.
        confidence: of the interval.

    Raises:
        InputError: as `batch_means`.
    """
    series = _checked(values, confidence)
    count = len(series)
    error = float(series.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    margin = _margin(_Precision(error, count), confidence)
    mean = float(series.mean())
    return Estimate(mean, mean - margin, mean + margin, float(count), count)


def warm_up_of(values: NDArray[Any]) -> int:
    """How many observations at the start belong to a warm-up that matters.

    MSER-5 proposes a cut. On a correlated series without any warm-up it likes to cut off a stretch that happens to lie
    high at the start, which biases the mean; on waits of M/G/1 that costs intervals up to 10 percentage points of
    their coverage. So the cut is made only if the mean of what would go is more than 4 standard errors away from that
    of what would stay, the errors by batch means of the latter.

    Args:
        values: (n,) finite observations in the order in which they were made.

    Returns:
        An index: observations from it on are kept.
    """
    series = np.asarray(values, np.float64)
    cut = mser5(series)
    if cut == 0:
        return 0
    first, rest = series[:cut], series[cut:]
    per_observation = _precision(rest).standard_error * math.sqrt(len(rest))
    error = per_observation * math.sqrt(1 / len(first) + 1 / len(rest))
    return cut if abs(first.mean() - rest.mean()) > WARM_UP_STANDARD_ERRORS * error else 0


def _checked(values: NDArray[Any], confidence: float) -> Floats:
    series = np.asarray(values, np.float64)
    if series.ndim != 1 or len(series) == 0:
        raise InputError(f"observations must be one-dimensional and at least one, got the shape {series.shape}")
    if not np.isfinite(series).all():
        raise InputError(f"observations must be finite, got {series[~np.isfinite(series)][0]}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be above 0 and below 1, got {confidence}")
    return series


def _checked_start(warm_up: int, count: int) -> int:
    if not 0 <= warm_up < count:
        raise InputError(f"warm_up must leave one of {count} observations at least, got {warm_up}")
    return warm_up


def _precision(series: Floats) -> _Precision:
    """Standard error of the mean of a series, by batch means."""
    count = len(series)
    if count < 2:
        return _Precision(math.inf, count)
    size = max(1, count // MOST_BATCHES)
    limit = NormalDist().inv_cdf(1 - INDEPENDENCE_LEVEL)
    while True:
        batches = count // size
        away = series[count - batches * size :].reshape(batches, size).mean(axis=1)
        away -= away.mean()
        squares = float(away @ away)
        if squares == 0:
            return _Precision(0.0, batches)
        if _von_neumann(away, squares) <= limit or batches // 2 < FEWEST_BATCHES:
            break
        size *= 2
    correlation = min(max(float(away[1:] @ away[:-1]) / squares, 0.0), _MOST_CORRELATION)
    variance = squares / (batches - 1) / batches * (1 + correlation) / (1 - correlation)
    return _Precision(math.sqrt(variance), batches)


def _von_neumann(away: Floats, squares: float) -> float:
    """Lag-1 correlation by the ratio of successive to all squared differences, in standard deviations of its law."""
    count = len(away)
    if count < 3:
        return 0.0
    correlation = (float(away[1:] @ away[:-1]) + float(away[0] ** 2 + away[-1] ** 2) / 2) / squares
    return correlation * math.sqrt((count * count - 1) / (count - 2))


def _margin(precision: _Precision, confidence: float) -> float:
    """Half the length of the interval of a mean, by Student's t."""
    if precision.num_batches < 2:
        return math.inf
    return student.quantile(precision.num_batches - 1, 0.5 + confidence / 2) * precision.standard_error


def _share_margin(precision: _Precision, probability: float, count: int, confidence: float) -> float:
    """That of a share, which is known no better than from independent observations."""
    binomial = math.sqrt(probability * (1 - probability) / count)
    return _margin(precision._replace(standard_error=max(precision.standard_error, binomial)), confidence)


def _quantile_at(series: Floats, share: float) -> float:
    if share <= 0:
        return -math.inf
    return math.inf if share >= 1 else float(np.quantile(series, share))


def _effective_size(series: Floats, standard_error: float) -> float:
    """Observations times (variance of a mean of n independent observations) / (variance of this mean), at most n."""
    count = len(series)
    if standard_error == 0 or count < 2:
        return float(count)
    return min(float(series.var(ddof=1)) / standard_error**2, float(count))
