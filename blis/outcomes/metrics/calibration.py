"""How far a prediction is off: two vectors of the same durations, measured and simulated, pair by pair.

The unit does not matter, as long as both have the same. Figures of error are fractions: 0.1 is ten per cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blis.errors import InputError
from blis.outcomes.metrics.latency import PERCENTILES

Floats = NDArray[np.float64]

Bias = Literal["over-predict", "under-predict", "neutral", ""]
Quality = Literal["excellent", "good", "fair", "poor", "not graded"]

#: A grade is given if MAPE lies below the first bound and r above the second; the best one that is. These are the
#: grades of the inference-sim project, whose users know them. There r counts always; here only where the measured
#: values vary by more than the error the grade allows: otherwise there is only noise, with which nothing correlates.
GRADES: tuple[tuple[Quality, float, float], ...] = (
    ("excellent", 0.10, 0.95),
    ("good", 0.20, 0.85),
    ("fair", 0.35, 0.70),
)
#: Two pairs always lie on a line: a correlation says nothing below that.
FEWEST_PAIRS_FOR_R = 3
#: Standard deviations from the 10th to the 90th percentile of a normal distribution.
_CENTRAL = 2.563


@dataclass(frozen=True)
class Spread:
    """Mean and percentiles of one side; percentiles interpolate linearly between ranks."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Comparison:
    """How a simulated vector compares with the measured one.

    Attributes:
        count: pairs.
        measured: mean and percentiles of the measured values.
        simulated: those of the simulated ones.
        mape: mean of |simulated - measured| / measured over the pairs with measured > 0; None if there is none.
        pearson_r: Pearson's correlation, in [-1, 1]; 0 for fewer than three pairs or if a side is constant.
        variation: how far the measured values vary, as a share of their median: the standard deviation of a normal
            distribution with their 10th and 90th percentile, so that a few outliers change nothing; None: that
            median is 0.
        bias: sign of the sum of simulated - measured, over the pairs that count for ``mape``; empty if there is none.
        quality: the grade, by ``mape``, and by ``pearson_r`` where ``variation`` gives it a meaning (`GRADES`);
            ``not graded``: fewer than three pairs, or nothing to take an error of.
    """

    count: int
    measured: Spread
    simulated: Spread
    mape: float | None
    pearson_r: float
    variation: float | None
    bias: Bias
    quality: Quality

    def relative_error(self, name: str) -> float | None:
        """(simulated - measured) / measured of one figure of `Spread`; None if the measured one is 0."""
        measured: float = getattr(self.measured, name)
        return (getattr(self.simulated, name) - measured) / measured if measured > 0 else None


def compare(measured: ArrayLike, simulated: ArrayLike) -> Comparison:
    """Compare two vectors of durations.

    Args:
        measured: (n,) n >= 1, finite, >= 0.
        simulated: (n,) the same of the simulation, in the same order and unit.

    Raises:
        InputError: they are empty, not of equal length, or hold values that are no durations.
    """
    real, predicted = _checked("measured", measured), _checked("simulated", simulated)
    if len(real) != len(predicted):
        raise InputError(f"simulated: must hold as many values as measured, {len(real)}, got {len(predicted)}")
    mape, bias = _mape_and_bias(real, predicted)
    r, variation = pearson_r(real, predicted), _variation(real)
    quality = grade(mape, r, variation) if len(real) >= FEWEST_PAIRS_FOR_R else "not graded"
    return Comparison(len(real), _spread(real), _spread(predicted), mape, r, variation, bias, quality)


def grade(mape: float | None, r: float, variation: float | None = None) -> Quality:
    """The grade of a prediction.

    Args:
        mape: its error; None: unknown.
        r: its correlation with the measured values.
        variation: that of the measured values; None: not known, and r counts.
    """
    if mape is None:
        return "not graded"
    for quality, most_mape, least_r in GRADES:
        r_counts = variation is None or variation > most_mape
        if mape < most_mape and (r > least_r or not r_counts):
            return quality
    return "poor"


def correlation_counts(variation: float | None) -> bool:
    """Whether values that vary so much give a correlation a say in any grade."""
    return variation is None or variation > min(most_mape for _, most_mape, _ in GRADES)


def pearson_r(first: Floats, second: Floats) -> float:
    """Pearson's correlation of two vectors of equal length; 0 where it says nothing (`Comparison`)."""
    if len(first) < FEWEST_PAIRS_FOR_R:
        return 0.0
    a, b = _deviations(first), _deviations(second)
    if a is None or b is None:
        return 0.0
    return float(np.clip(np.dot(a, b), -1.0, 1.0))


def _deviations(values: Floats) -> Floats | None:
    """Differences to the mean as a vector of length 1; None if all values are equal."""
    if np.ptp(values) == 0:  # the mean of equal values may differ from them by rounding
        return None
    deviations = values - values.mean()
    deviations /= np.abs(deviations).max()  # so that no square under- or overflows
    unit: Floats = deviations / np.linalg.norm(deviations)
    return unit


def _variation(values: Floats) -> float | None:
    low, middle, high = np.percentile(values, [10, 50, 90])
    return float((high - low) / _CENTRAL / middle) if middle > 0 else None


def _checked(name: str, values: ArrayLike) -> Floats:
    vector = np.asarray(values)
    if vector.ndim != 1 or not np.issubdtype(vector.dtype, np.number) or np.iscomplexobj(vector):
        raise InputError(f"{name}: must be a vector of numbers, got {vector.dtype} of shape {vector.shape}")
    if not len(vector):
        raise InputError(f"{name}: must hold at least one value, got none")
    vector = vector.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(vector) & (vector >= 0)))
    if len(bad):
        raise InputError(f"{name}[{bad[0]}]: must be a finite number >= 0, got {vector[bad[0]]}")
    return vector


def _mape_and_bias(measured: Floats, simulated: Floats) -> tuple[float | None, Bias]:
    counts = measured > 0
    if not counts.any():
        return None, ""
    difference = (simulated - measured)[counts]
    total = difference.sum()
    bias: Bias = "over-predict" if total > 0 else "under-predict" if total < 0 else "neutral"
    return float(np.mean(np.abs(difference) / measured[counts])), bias


def _spread(values: Floats) -> Spread:
    percentiles: dict[str, Any] = {
        f"p{p}": float(value) for p, value in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)
    }
    return Spread(mean=float(values.mean()), **percentiles)
