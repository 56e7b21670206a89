"""Overload under a load that changes: times in which the queue grew, though the run as a whole may not show it."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis.outcomes.statistics.backlog import Floats, mean_number
from blis.outcomes.statistics.trend import Trend, trend

#: Steps at which stretches of time begin and end; the shortest has two, 128 bins of the queue's length.
STEPS, BINS_PER_STEP, BINS = 16, 64, 128
#: Chance of calling any of all the stretches of a run overloaded.
FALSE_ALARM = 0.01
#: What counts of a growth: this share of the arrivals of that stretch, and of the mean queue in it.
MATERIAL_SHARE, MATERIAL_GROWTH = 0.02, 0.25
#: Stretches of fewer arrivals say too little; a queue near full load has longer moods.
FEWEST_ARRIVALS = 200
#: A growth begins where the queue was last this short, as a share of its peak.
ONSET = 0.02
#: And takes so many bins at least, be it that all came at once: fewer make no line.
LEAST_BINS = 16


class Surge(NamedTuple):
    """A stretch of time in which requests queued up.

    Attributes:
        start_us: when the queue began to grow.
        end_us: when it was longest.
        growth: trend of its length per bin, requests.
        bin_us: how long a bin is.
        arrivals: requests that arrived meanwhile.
    """

    start_us: float
    end_us: float
    growth: Trend
    bin_us: float
    arrivals: int


def queue_lengths(arrival_us: NDArray[Any], started_us: NDArray[Any], window_us: tuple[float, float]) -> Floats:
    """(1024,) mean number of requests that wait, over equal parts of a window; all stamps ascending."""
    bins = STEPS * BINS_PER_STEP
    return mean_number(arrival_us, window_us, bins) - mean_number(started_us, window_us, bins)


def surge(queue: Floats, arrival_us: NDArray[Any], window_us: tuple[float, float]) -> Surge | None:
    """Find the time in which the queue grew for certain.

    Looked at are the whole time, its halves, quarters and eighths and those shifted by half their length, 26 in all.
    In one of them the trend has to be positive (`trend`; 99 % for all of them together), and to make up 2 % of the
    arrivals and a quarter of the mean queue. Shorter bursts are what queues are for.

    Args:
        queue: what `queue_lengths` gives.
        arrival_us: (n,) ascending.
        window_us: of the queue.

    Returns:
        The rise to the highest queue in any of these stretches, from where it was last next to nothing; None: no
        stretch is overloaded.
    """
    start, end = window_us
    bin_us = (end - start) / len(queue)
    stretches = list(_stretches())
    certain = NormalDist().inv_cdf(1 - FALSE_ALARM / len(stretches))
    found = []
    for first, last in stretches:
        count = _between(arrival_us, start + first * bin_us, start + last * bin_us)
        if count >= FEWEST_ARRIVALS and _grows(queue[first:last], count, certain):
            found.append((first, last))
    if not found:
        return None
    inside = np.zeros(len(queue), np.bool_)
    for first, last in found:
        inside[first:last] = True
    top = int(np.where(inside, queue, -1).argmax())
    short = np.flatnonzero(queue[:top] <= ONSET * queue[top])
    onset = max(0, min(int(short[-1]) if len(short) else 0, top + 1 - LEAST_BINS))
    rise = slice(onset, max(top + 1, onset + LEAST_BINS))
    begin_us, top_us = start + rise.start * bin_us, start + rise.stop * bin_us
    return Surge(begin_us, top_us, trend(queue[rise]), bin_us, _between(arrival_us, begin_us, top_us))


def _stretches() -> Iterator[tuple[int, int]]:
    """Bins from which and to which."""
    for length in (STEPS, STEPS // 2, STEPS // 4, STEPS // 8):
        for step in range(0, STEPS - length + 1, length // 2):
            yield step * BINS_PER_STEP, (step + length) * BINS_PER_STEP


def _grows(queue: Floats, count: int, certain: float) -> bool:
    series = queue.reshape(BINS, -1).mean(1)
    line = trend(series)
    least = max(certain * line.standard_error, MATERIAL_SHARE * count / BINS, MATERIAL_GROWTH * series.mean() / BINS)
    return bool(line.slope > least)


def _between(arrival_us: NDArray[Any], start_us: float, end_us: float) -> int:
    first, last = np.searchsorted(arrival_us, [start_us, end_us])
    return int(last - first)
