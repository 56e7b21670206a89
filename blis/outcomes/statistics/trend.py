"""The trend of a series, with an error that holds whether what is left returns to zero or wanders."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
    level: Floats = np.ones(count)
    place: Floats = np.arange(count, dtype=np.float64) - (count - 1) / 2
    slope, left = _least_squares(level, place, values)
    if left @ left <= 1e-18 * (values @ values):  # a straight line but for rounding
        return Trend(slope, 0.0)
    coefficient = float(left[1:] @ left[:-1]) / float(left[:-1] @ left[:-1])
    coefficient += (2 + 4 * coefficient) / count
    if coefficient > 1 - count**-0.5:
        steps = np.diff(values)
        slope = float(steps.mean())
        return Trend(slope, math.sqrt(_long_run_variance(steps - slope) / len(steps)))
    coefficient = max(coefficient, 0.0)
    level, place, values = (_whitened(column, coefficient) for column in (level, place, values))
    slope, left = _least_squares(level, place, values)
    alone = _apart_from(level, place)
    return Trend(slope, math.sqrt(_long_run_variance(left) / float(alone @ alone)))


def _whitened(column: Floats, coefficient: float) -> Floats:
    """What is left of each observation without that share of the one before; Prais and Winsten keep the first."""
    white = column.copy()
    white[1:] -= coefficient * column[:-1]
    white[0] *= math.sqrt(1 - coefficient**2)
    return white


def _least_squares(level: Floats, place: Floats, values: Floats) -> tuple[float, Floats]:
    """Coefficient of the second column, and residuals; the columns are taken one after the other (Frisch and Waugh)."""
    alone, left = _apart_from(level, place), _apart_from(level, values)
    slope = float(alone @ left) / float(alone @ alone)
    return slope, left - slope * alone


def _apart_from(level: Floats, column: Floats) -> Floats:
    """What of a column another one does not explain."""
    return column - (float(level @ column) / float(level @ level)) * level


def _long_run_variance(left: Floats) -> float:
    """Bartlett-weighted sum of autocovariances; positive correlation widens, negative never narrows."""
    count = len(left)
    lags = int(4 * (count / 100) ** (2 / 9))
    variance = float(left @ left) / count
    covariances = [float(left[lag:] @ left[:-lag]) / count for lag in range(1, lags + 1)]
    weights = [1 - lag / (lags + 1) for lag in range(1, lags + 1)]
    total = variance + 2 * sum(weight * each for weight, each in zip(weights, covariances, strict=True))
    return max(total, variance)
