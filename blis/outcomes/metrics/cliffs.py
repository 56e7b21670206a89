"""Cliffs: steps between neighbouring percentiles that are too steep for either of them to mean much.

Where p95 is 19 ms and p99 is 170 ms, some requests wait for something that the others never meet. How many they are
decides on which side of the step a percentile lies, so that a tiny change of the load moves it from one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from blis.outcomes.metrics.latency import PERCENTILES

#: From one percentile to the next, at least this factor. An exponential tail has 3.3 from p50 to p90, then 1.3 and 1.5.
STEEP = 4.0
#: And at least so much, ms: nobody feels less.
LEAST_MS = 10.0


@dataclass(frozen=True)
class Cliff:
    """A steep step.

    Attributes:
        lower: percentile at its foot, of `PERCENTILES`.
        upper: the next one, at its top.
        lower_ms: latency at the foot.
        upper_ms: latency at the top.
    """

    lower: int
    upper: int
    lower_ms: float
    upper_ms: float


def is_cliff(lower_ms: float, upper_ms: float) -> bool:
    """Whether the step from one percentile to its neighbour is steep: by `STEEP` and `LEAST_MS` at least."""
    return upper_ms - lower_ms >= LEAST_MS and upper_ms >= STEEP * lower_ms


def cliffs(percentiles_ms: Mapping[int, float | None]) -> tuple[Cliff, ...]:
    """All steep steps, lowest first.

    Args:
        percentiles_ms: by percentile; those of `PERCENTILES` are looked at, without what is missing or None.
    """
    there = [(p, value) for p in PERCENTILES if (value := percentiles_ms.get(p)) is not None]
    return tuple(Cliff(p, q, low, high) for (p, low), (q, high) in pairwise(there) if is_cliff(low, high))
