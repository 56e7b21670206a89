"""Arrivals whose rate and burstiness change from phase to phase, in every phase as if they had gone on forever.

Within a phase, gaps are independent draws of one law. The first arrival of a phase comes after what an observer who
looks at a random moment would have to wait (the equilibrium of the renewal process), not after a whole gap. So the
expected number of arrivals is rate times duration in every phase, however short and however bursty.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from blis.workload.lengths import Floats
from blis.workload.requests import Ints

Process = Literal["poisson", "constant", "gamma", "weibull"]

#: Gaps drawn at a time.
_CHUNK = 1 << 20
#: Where shapes of Weibull's law are looked for; they reach coefficients of variation from 0.003 to 7,000.
_SHAPES = (0.07, 500.0)


@dataclass(frozen=True)
class Phase:
    """A stretch of time in which one law holds.

    Attributes:
        start_us: its first microsecond.
        end_us: the first microsecond behind it.
        rate: arrivals per second, > 0.
        process: law of the gaps.
        cv: coefficient of variation of ``gamma`` and ``weibull`` gaps.
    """

    start_us: int
    end_us: int
    rate: float
    process: Process
    cv: float = 1.0


def arrivals_us(phases: tuple[Phase, ...], until_us: int, rng: np.random.Generator) -> Ints:
    """Draw the arrivals of a client.

    Args:
        phases: in the order of time, not overlapping.
        until_us: the first microsecond of no interest; arrivals before are the same whatever it is.
        rng: where the gaps come from.

    Returns:
        (n,) arrival times in µs, ascending, each in its phase.
    """
    parts = [_phase_arrivals(phase, min(phase.end_us, until_us), rng) for phase in phases if phase.start_us < until_us]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _phase_arrivals(phase: Phase, end_us: int, rng: np.random.Generator) -> Ints:
    mean_us = 1e6 / phase.rate
    duration_us = end_us - phase.start_us
    if phase.process == "constant":
        times = np.arange(math.ceil(duration_us / mean_us), dtype=np.float64) * mean_us
        return _on_the_clock(phase.start_us, times, end_us)
    now_us = _first_gap(phase, rng) * mean_us
    parts = [np.array([now_us])]
    while now_us < duration_us:
        expected = (duration_us - now_us) / mean_us
        count = int(min(_CHUNK, expected + 3.0 * phase.cv * math.sqrt(expected) + 8))
        times = _gaps(phase, rng, count)
        times *= mean_us
        times[0] += now_us
        np.cumsum(times, out=times)
        now_us = float(times[-1])
        parts.append(times)
    return _on_the_clock(phase.start_us, np.concatenate(parts), end_us)


def _on_the_clock(start_us: int, times: Floats, end_us: int) -> Ints:
    """Round ascending times since the start once, and leave out what lies behind the end."""
    rounded = np.rint(times[: np.searchsorted(times, end_us - start_us)]).astype(np.int64) + start_us
    return rounded[: np.searchsorted(rounded, end_us)]


def _gaps(phase: Phase, rng: np.random.Generator, count: int) -> Floats:
    """Draw gaps of mean 1."""
    if phase.process == "poisson":
        return rng.standard_exponential(count)
    if phase.process == "gamma":
        squared = phase.cv * phase.cv
        return rng.standard_gamma(1.0 / squared, count) * squared
    shape = weibull_shape(phase.cv)
    return rng.standard_exponential(count) ** (1.0 / shape) / math.gamma(1.0 + 1.0 / shape)


def _first_gap(phase: Phase, rng: np.random.Generator) -> float:
    """Draw the wait from a random moment on: a random part of a gap that was met in proportion to its length."""
    if phase.process == "poisson":
        return float(rng.standard_exponential())
    if phase.process == "gamma":
        squared = phase.cv * phase.cv
        met = rng.standard_gamma(1.0 / squared + 1.0) * squared
    else:
        shape = weibull_shape(phase.cv)
        met = rng.standard_gamma(1.0 + 1.0 / shape) ** (1.0 / shape) / math.gamma(1.0 + 1.0 / shape)
    return float(met * rng.random())


@functools.lru_cache(maxsize=65536)
def weibull_shape(cv: float) -> float:
    """Find the shape of the Weibull law with a coefficient of variation in [0.003, 7000], by bisection."""
    low, high = _SHAPES
    wanted = math.log1p(cv * cv)  # log of Γ(1 + 2/k) / Γ(1 + 1/k)², which falls with k
    for _ in range(60):
        middle = math.sqrt(low * high)
        if math.lgamma(1.0 + 2.0 / middle) - 2.0 * math.lgamma(1.0 + 1.0 / middle) > wanted:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
