"""When requests arrive: gaps of an arrival process, added up on the clock of whole microseconds."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from blis.errors import CombinationError, ConfigError, nearest
from blis.workload.requests import Ints

ArrivalProcess = Literal["poisson", "constant", "gamma"]

#: The clock is a signed 64-bit integer.
MAX_CLOCK_US = 2**63 - 1
#: Coefficients of variation outside are practically constant, or one burst.
CV_RANGE = (0.001, 1000.0)
#: Gaps drawn at a time, so that a horizon bounds the work whatever the number of requests.
_CHUNK = 1 << 20


def check_arrivals(process: str, rate: float, cv: float | None) -> None:
    """Check what describes an arrival process.

    Raises:
        ConfigError: unknown process, a rate that is not finite and positive, a useless coefficient of variation.
    """
    if process not in get_args(ArrivalProcess):
        raise ConfigError(f"arrival: unknown process {process!r}; {nearest(process, get_args(ArrivalProcess))}")
    if not (math.isfinite(rate) and rate > 0 and 1e6 / rate < MAX_CLOCK_US):
        raise ConfigError(f"rate: must be a positive number of requests per second, got {rate}")
    if cv is None:
        return
    if process != "gamma":
        raise CombinationError(f"arrival_cv: only gamma arrivals have one, got {cv} for {process}")
    if not CV_RANGE[0] <= cv <= CV_RANGE[1]:
        raise ConfigError(f"arrival_cv: must lie in [{CV_RANGE[0]:g}, {CV_RANGE[1]:g}], got {cv}")


def arrival_times_us(
    process: ArrivalProcess,
    rate: float,
    num_requests: int,
    rng: np.random.Generator,
    *,
    cv: float | None = None,
    horizon_us: int | None = None,
) -> Ints:
    """Draw the arrival times of up to ``num_requests`` requests.

    ``constant``: the k-th request (from 0) arrives at ``round(k * 1e6 / rate)``, the first at 0.
    ``poisson``: gaps are exponential. ``gamma``: gaps have shape ``1 / cv**2`` and scale ``cv**2 / rate``, thus
    mean ``1 / rate`` and the given coefficient of variation. In the random processes the first request arrives
    after the first gap. Gaps are added up in float64 and only the sums are rounded, so that nothing drifts.

    Args:
        process: name of the process.
        rate: requests per second, > 0.
        num_requests: how many at most.
        rng: where the gaps come from; untouched by ``constant``.
        cv: coefficient of variation of ``gamma`` gaps; None: 1, which is ``poisson``.
        horizon_us: requests arriving later are left out; the others are the same with and without it.

    Returns:
        (n,) arrival times in µs, ascending, n <= num_requests.

    Raises:
        ConfigError: bad parameters (`check_arrivals`), or an arrival the clock cannot show.
    """
    check_arrivals(process, rate, cv)
    last_us = MAX_CLOCK_US if horizon_us is None else horizon_us
    parts: list[Ints] = []
    drawn = 0
    now_us = 0.0
    while drawn < num_requests and now_us < last_us + 1:
        count = min(_CHUNK, num_requests - drawn)
        if process == "constant":
            times = np.arange(drawn, drawn + count, dtype=np.float64) * 1e6 / rate
        else:
            times = _gaps_us(process, rate, cv, rng, count)
            times[0] += now_us
            np.cumsum(times, out=times)
        drawn += count
        now_us = float(times[-1])
        parts.append(_on_the_clock(times, last_us))
    arrivals = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    if horizon_us is None and len(arrivals) < num_requests:
        raise ConfigError(
            f"rate: {rate:g} requests per second puts arrivals beyond the clock's end ({MAX_CLOCK_US} µs)"
        )
    return arrivals


def _gaps_us(
    process: ArrivalProcess, rate: float, cv: float | None, rng: np.random.Generator, count: int
) -> NDArray[np.float64]:
    mean_us = 1e6 / rate
    if process == "poisson":
        return rng.standard_exponential(count) * mean_us
    squared = 1.0 if cv is None else cv * cv
    return rng.standard_gamma(1.0 / squared, count) * (squared * mean_us)


def _on_the_clock(times: NDArray[np.float64], last_us: int) -> Ints:
    """Round ascending times and leave out what lies behind ``last_us`` (or is no number at all)."""
    rounded = np.rint(times)
    shown = rounded[rounded < 2.0**63].astype(np.int64)
    return shown[: np.searchsorted(shown, last_us, side="right")]
