"""What of a workload lies within a run: where its clock begins, and what would come behind its end.

A request behind the end has a row like any other, so that it is counted and listed as one that did not arrive. Of a
huge workload under a short horizon only the first of them have one (`MOST_LATE`); the others are a number
(`RequestTable.unlisted`), so that the horizon bounds the work.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from blis.workload.requests import MOST_US, RequestTable

#: Arrivals from here on count from 1970, not from the start of anything: no run lasts 30 years.
EPOCH_US = 10**15
#: Requests behind the end of a run that have a row each.
MOST_LATE = 100_000


def from_zero(table: RequestTable, horizon_us: int | None = None) -> tuple[RequestTable, int | None]:
    """Arrivals that count from 1970, counted from the first one; others stay as they are.

    Args:
        table: the requests.
        horizon_us: end of the run; moved likewise if it counts from 1970, too.

    Returns:
        The requests, which say what their clock was (`RequestTable.origin_us`), and the end.
    """
    free = table.arrival_us[_waits_for_nobody(table)]
    first_us = int(free.min(initial=MOST_US))
    if not len(free) or first_us < EPOCH_US:
        return table, horizon_us
    moved = replace(table, arrival_us=np.maximum(table.arrival_us - first_us, 0), origin_us=first_us)
    if horizon_us is not None and horizon_us >= EPOCH_US:
        horizon_us = max(horizon_us - first_us, 0)
    return moved, horizon_us


def listed(table: RequestTable, end_us: int | None) -> RequestTable:
    """The requests that have rows: all that arrive until the end, and the first of the others."""
    if end_us is None:
        return table
    late = np.flatnonzero((table.arrival_us > end_us) & _waits_for_nobody(table))
    dropped = late[MOST_LATE:]
    if not len(dropped):
        return table
    return replace(table.take(_without(dropped, len(table))), unlisted=table.unlisted + len(dropped))


def in_time(table: RequestTable, end_us: int | None) -> RequestTable:
    """Without requests that would come behind the end, whatever they wait for."""
    if end_us is None:
        return table
    late = np.flatnonzero(table.arrival_us > end_us)
    return table.take(_without(late, len(table))) if len(late) else table


def _waits_for_nobody(table: RequestTable) -> NDArray[np.bool_]:
    return np.full(len(table), True) if table.sessions is None else table.sessions.after < 0


def _without(dropped: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.delete(np.arange(count), dropped)
