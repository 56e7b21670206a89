"""Which coefficients a measurement does not determine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.measurement.fit.regression import Problem
from blis.measurement.fit.search import Found

Floats = NDArray[np.float64]

_CONFIDENCE = 0.95
#: A coefficient is not determined if its interval reaches this far, as a share of its value, ...
_MOST_RELATIVE = 0.5
#: ... and matters: moves the measured times by this share. What is unknown but small does no harm.
_MOST_EFFECT = 0.05
#: Factor on a variance from which on a coefficient's effect is that of others, to four digits: what noise tells apart
#: there is chance.
_MOST_INFLATION = 1e4
#: Correlation from which on another coefficient is named as the one it cannot be told from.
_CORRELATED = 0.7


@dataclass(frozen=True)
class Interval:
    """A free coefficient with its 95 % interval.

    Attributes:
        name: with its unit.
        value: found.
        low: end of the interval, not below the coefficient's lower bound.
        high: other end, not above its upper bound.
        share: of a measured time that it explains, on average.
        doubt: why it is not determined; None: it is.
    """

    name: str
    value: float
    low: float
    high: float
    share: float
    doubt: str | None


def intervals(problem: Problem, found: Found) -> list[Interval]:
    """The free coefficients with their intervals, and what is to be doubted."""
    from scipy.stats import t

    precision = found.precision
    half = t.ppf((1 + _CONFIDENCE) / 2, precision.freedom) * np.sqrt(np.diag(precision.covariance))
    values = found.values[list(problem.free)]
    least, most = problem.column("least"), problem.column("most")
    partners = _partners(problem.names, precision.covariance)
    rows = []
    for i, name in enumerate(problem.names):
        doubt = None
        low, high = values[i] - half[i], values[i] + half[i]
        if precision.effects[i] == 0:
            doubt = "nothing that was measured depends on it"
        elif half[i] > _MOST_RELATIVE * values[i] and half[i] * precision.effects[i] > _MOST_EFFECT:
            doubt = f"its interval is {values[i]:.4g} ± {half[i]:.2g}{partners[i]}"
        elif np.isfinite(most[i]) and high >= most[i]:
            doubt = f"its interval reaches its bound {most[i]:g}{partners[i]}"
        elif precision.inflation[i] > _MOST_INFLATION:
            doubt = "others have the same effect on all that was measured"
        share = float(precision.effects[i] * values[i])
        rows.append(
            Interval(name, float(values[i]), float(max(low, least[i])), float(min(high, most[i])), share, doubt)
        )
    return rows


def correlation(covariance: Floats) -> Floats:
    """(f, f) of the same coefficients; 0 with those that did not vary at all."""
    deviation = np.sqrt(np.diag(covariance))
    scale = np.outer(deviation, deviation)
    of_varying: Floats = np.divide(covariance, scale, out=np.eye(len(deviation)), where=scale > 0)
    return of_varying


def _partners(names: list[str], covariance: Floats) -> list[str]:
    """For each coefficient the words that name the one it moves with most, if it does."""
    strength = np.abs(correlation(covariance)) - np.eye(len(names))
    found = []
    for row in strength:
        other = int(row.argmax())
        told = f", and it cannot be told from {names[other]} (correlation {row[other]:.2f})"
        found.append(told if row[other] > _CORRELATED else "")
    return found
