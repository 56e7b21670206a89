"""Whether a system keeps up with its arrivals, or its backlog grows for as long as they go on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import InputError
from blis.outcomes.statistics.arrivals import ArrivalRate, arrival_rate
from blis.outcomes.statistics.backlog import Floats, mean_number
from blis.outcomes.statistics.surges import Surge, queue_lengths, surge
from blis.outcomes.statistics.trend import trend

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
_CERTAIN, _EXCLUDING = (NormalDist().inv_cdf(confidence) for confidence in (1 - FALSE_ALARM, EXCLUDED_CONFIDENCE))
#: Under a load that changes, a queue that is in none of 32 pieces of the time longer than so many times the mean number
#: in the system, or than this share of the arrivals, is none to speak of.
QUEUE_PIECES = 32
SHORT_QUEUE, SHORT_QUEUE_SHARE = 3, 0.002


@dataclass(frozen=True)
class Stability:
    """What the number of requests in the system does over time.

    Attributes:
        stable: False: the backlog grows; True: it does not; None: the series is too short to tell.
        growth_per_s: trend of the number in the system, requests per second; nan if there is no window to look at.
        growth_error_per_s: its standard error.
        mean_backlog: mean number in the system within the window.
        arrivals_per_s: arrival rate within the window.
        window_us: from when to when it was looked at; under a load that changes and is too much, from when to when the
            queue grew.
        rate: how the arrival rate goes; None: too few arrivals.
    """

    stable: bool | None
    growth_per_s: float
    growth_error_per_s: float
    mean_backlog: float
    arrivals_per_s: float
    window_us: tuple[float, float]
    rate: ArrivalRate | None = None

    @property
    def utilisation(self) -> float | None:
        """Arrivals per request that gets through, above 1 if overloaded; None unless the backlog grows."""
        served_per_s = self.arrivals_per_s - self.growth_per_s
        if self.stable is not False:
            return None
        return self.arrivals_per_s / served_per_s if served_per_s > 0 else math.inf


def stability(
    arrival_us: NDArray[Any],
    done_us: NDArray[Any],
    *,
    end_us: float | None = None,
    started_us: NDArray[Any] | None = None,
    load_us: NDArray[Any] | None = None,
) -> Stability:
    """Tell whether the backlog drifts upwards while requests arrive.

    What is looked at is the number in the system, averaged over 128 equal pieces of the time from when it had time to
    fill (2 mean sojourns of the first requests) until the last arrival: afterwards any backlog drains. Its trend and
    the error of that come from `trend`, which holds for a backlog that returns to its level as for one that wanders.

    It is *overloaded* if the trend is positive with 99 % confidence, and makes up a quarter of the mean backlog and
    0.5 % of the arrivals. It is *stable* if with 95 % confidence the growth is less than the mean backlog, and than 5 %
    of the arrivals. Otherwise the series is too short to tell, as it is if filling takes two thirds of it.

    All that is for a constant arrival rate. Where the rate changes, the number in the system goes with it, by Little's
    law and without any overload. Then it is overloaded if in some stretch of time the requests that wait pile up
    (`blis.outcomes.statistics.surges.surge`), and stable if they never get many.

    Args:
        arrival_us: (n,) when requests arrived, in any order; only those that came to be served.
        done_us: (n,) when each left; negative: it was there to the end.
        end_us: when observation ended, if before the last arrival.
        started_us: (n,) when service of each began, until when it waited; negative: it never did; None: as long as it
            was in the system, which makes more of a queue where service is long.
        load_us: (m,) ascending, arrivals that show how the load goes; None: all of them (those of later turns of
            sessions go by answers, too).

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
        return _too_short(None)
    if (arrival[1:] < arrival[:-1]).any():
        order = np.argsort(arrival, kind="stable")
        arrival, done, gone = arrival[order], done[order], gone[order]
    begin, end = float(arrival[0]), float(arrival[-1] if end_us is None else min(arrival[-1], end_us))
    rate = arrival_rate(arrival if load_us is None else load_us, end)
    start = begin + FILLING_SOJOURNS * _first_sojourn(arrival, done, end)
    count = int(np.searchsorted(arrival, end, "right") - np.searchsorted(arrival, start, "left"))
    if count < FEWEST_ARRIVALS or end == begin or start > begin + MOST_FILLING * (end - begin):
        return _too_short(rate)
    window = start, end
    backlog = mean_number(arrival, window, BINS) - mean_number(np.sort(done[gone]), window, BINS)
    found = _judged(backlog, count, window, rate)
    if rate is None or rate.is_constant:
        return found
    started = done if started_us is None else np.asarray(started_us)
    queue = queue_lengths(arrival, np.sort(started[started >= 0]), window)
    return _judged_by_queue(found, queue, count, surge(queue, arrival, window))


def _judged(backlog: Floats, count: int, window: tuple[float, float], rate: ArrivalRate | None) -> Stability:
    line = trend(backlog)
    growth, error, mean = line.slope * len(backlog), line.standard_error * len(backlog), float(backlog.mean())
    stable = None
    if growth > max(_CERTAIN * error, MATERIAL_GROWTH * mean, MATERIAL_SHARE * count):
        stable = False
    elif _highest(growth, error) <= min(mean, EXCLUDED_SHARE * count):
        stable = True
    seconds = (window[1] - window[0]) / 1e6
    return Stability(stable, growth / seconds, error / seconds, mean, count / seconds, window, rate)


def _judged_by_queue(found: Stability, queue: Floats, count: int, rise: Surge | None) -> Stability:
    """The same of a load that changes, whose backlog is no sign of anything."""
    if rise is not None:
        return replace(
            found,
            stable=False,
            growth_per_s=rise.growth.slope / (rise.bin_us / 1e6),
            growth_error_per_s=rise.growth.standard_error / (rise.bin_us / 1e6),
            arrivals_per_s=rise.arrivals / ((rise.end_us - rise.start_us) / 1e6),
            window_us=(rise.start_us, rise.end_us),
        )
    longest = float(queue.reshape(QUEUE_PIECES, -1).mean(1).max())
    is_short = longest <= max(SHORT_QUEUE * found.mean_backlog, SHORT_QUEUE_SHARE * count)
    piles_up = _highest(found.growth_per_s, found.growth_error_per_s) > EXCLUDED_SHARE * found.arrivals_per_s
    return replace(found, stable=True if is_short and not piles_up else None)


def _highest(growth: float, error: float) -> float:
    """Upper end of an interval of a growth."""
    return growth + _EXCLUDING * error


def _too_short(rate: ArrivalRate | None) -> Stability:
    return Stability(None, math.nan, math.nan, math.nan, math.nan, (math.nan, math.nan), rate)


def _first_sojourn(arrival: NDArray[Any], done: NDArray[Any], end: float) -> float:
    """Mean time in the system of the first 2 % of all requests, ten at least."""
    first = slice(0, max(10, len(arrival) // 50))
    left = np.where(done[first] >= 0, done[first], np.maximum(end, arrival[first]))
    return float((left - arrival[first]).mean())
