"""Load, how busy instances were, and how many requests they had in hand over time, from the requests' stamps alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER
from blis.outcomes.metrics.groups import rows_by_code
from blis.outcomes.outcomes import SERVED, Outcomes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: What a full system answers is measured with so few requests that it may be off by this share.
SATURATION_ERROR = 0.05


@dataclass(frozen=True, eq=False)
class Activity:
    """How many requests there were over time.

    Attributes:
        end_us: (k,) when each of k equally long parts of the run ends.
        running: (k,) mean number of requests between their first step and their end, preempted ones included.
        waiting: (k,) mean number of requests in the queues that no step had scheduled yet.
    """

    end_us: Floats
    running: Floats
    waiting: Floats


def busy_us(outcomes: Outcomes) -> Ints:
    """(m,) how long each instance ran steps.

    An instance takes steps, one right behind the other, while it holds any request; so this is the length of the union
    of the times its requests were there. Pauses of an engine that plans ahead, of a millisecond, count as well.
    """
    result = outcomes.result
    total = np.zeros(len(result.instances), np.int64)
    rows = _rows(outcomes)
    rows = rows[np.argsort(result.enqueued_us[rows], kind="stable")]
    for index, places in enumerate(rows_by_code(result.instance[rows], len(total))):
        if len(places):
            start, end = result.enqueued_us[rows[places]], _end_us(outcomes, rows[places])
            until = np.maximum.accumulate(end)
            total[index] = until[-1] - start[0] - np.maximum(start[1:] - until[:-1], 0).sum()
    return total


def busy_share(outcomes: Outcomes) -> float | None:
    """Share of the run in which the mean instance ran steps; None if the run has no length."""
    end_us = outcomes.result.end_us
    return None if end_us <= 0 else float(outcomes.busy_us.sum() / (end_us * len(outcomes.result.instances)))


def load_share(outcomes: Outcomes, saturation_per_s: float | None) -> float | None:
    """Requests that arrived per second, as a share of what a full system answers; None if either is not known.

    What the run itself shows comes first. If its backlog grows, the system is full, and what it answers is seen there;
    if it doesn't, a full system answers no less, and an estimate that says otherwise is rounded to the load, or left
    out if it is off by more than it may be. Of a load that changes it is the mean, and the verdict is on its peak: it
    is left out if there is an overload that even the peak does not explain.
    """
    found = outcomes.steady_state
    backlog, rate = found.backlog, found.load
    is_constant = rate is None or rate.is_constant
    if backlog.stable is False and is_constant:
        return backlog.utilisation if math.isfinite(backlog.utilisation or math.inf) else None
    arrival_us = outcomes.result.arrival_us
    arrival_us = arrival_us[(arrival_us != NEVER) & (arrival_us <= outcomes.result.end_us)]
    if saturation_per_s is None or len(arrival_us) < 2 or np.ptp(arrival_us) == 0:
        return None
    share = float((len(arrival_us) - 1) / (np.ptp(arrival_us) / 1e6) / saturation_per_s)
    if backlog.stable and share > 1 and is_constant:
        return 1.0 if share <= 1 + SATURATION_ERROR else None
    if backlog.stable is False and rate is not None and share * rate.peak_per_s <= rate.mean_per_s:
        return None
    return share


def activity(outcomes: Outcomes, parts: int) -> Activity:
    """Mean numbers of running and waiting requests in each of so many parts of the run; O(n log n) for n requests."""
    edges = np.linspace(0, max(outcomes.result.end_us, 1), parts + 1)
    running, waiting = _present(outcomes)
    return Activity(edges[1:], *(_mean_count(*spans, edges) for spans in (running, waiting)))


def _rows(outcomes: Outcomes) -> Ints:
    """Requests that an instance had in hand."""
    result = outcomes.result
    there = (result.enqueued_us != NEVER) & np.isin(result.status, SERVED)
    return np.flatnonzero(there & (result.enqueued_us <= result.end_us))


def _end_us(outcomes: Outcomes, rows: Ints) -> Ints:
    finished_us = outcomes.result.finished_us[rows]
    return np.where(finished_us == NEVER, outcomes.result.end_us, finished_us)


def _present(outcomes: Outcomes) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
    """Beginnings and ends of the time each request ran, and of the time it waited."""
    rows = _rows(outcomes)
    end_us = _end_us(outcomes, rows)
    scheduled_us = outcomes.result.first_scheduled_us[rows]
    scheduled_us = np.where(scheduled_us == NEVER, end_us, scheduled_us)
    return (scheduled_us, end_us), (outcomes.result.enqueued_us[rows], scheduled_us)


def _mean_count(start_us: Ints, end_us: Ints, edges: Floats) -> Floats:
    """(k,) mean number of spans that are open between each of k + 1 edges and the next."""
    area = _time_since(start_us, edges) - _time_since(end_us, edges)
    return np.diff(area) / np.diff(edges)


def _time_since(stamps_us: Ints, edges: Floats) -> Floats:
    """(k,) sum over all stamps before each edge of the time since then."""
    stamps = np.sort(stamps_us)
    before = np.searchsorted(stamps, edges)
    sums = np.concatenate([[0.0], np.cumsum(stamps, dtype=np.float64)])
    since: Floats = before * edges - sums[before]
    return since
