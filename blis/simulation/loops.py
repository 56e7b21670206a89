"""The engine's arrays for requests that wait for others; what `blis.simulation.packing` is for all others."""

from __future__ import annotations

import numpy as np

from blis._core import state as core
from blis._core.codes import NEVER, NONE, RequestStatus
from blis.config.schema import EngineConfig
from blis.latency.law import LatencyModel
from blis.policies.scheduling import order_key
from blis.simulation.control import Control
from blis.simulation.packing import Columns, Unused, refusals
from blis.workload.requests import MOST_US, RequestTable


def needs_heaps(table: RequestTable, latency: LatencyModel, control: Control, *, tracing: bool) -> bool:
    """Whether times become known only while the engine runs: of arrivals, or of what comes out of front ends."""
    looks = tracing or bool(control.reads)
    return table.is_closed_loop or (latency.intake_us > 0 and looks)


def loop_columns(
    table: RequestTable, engine: EngineConfig, latency: LatencyModel, control: Control, *, needed: bool
) -> Columns:
    """`blis._core.state.ClosedLoop`, up to its queues."""
    if not needed:
        return _NO_LOOP
    n = len(table)
    sessions = table.sessions if table.is_closed_loop else None
    waits, successor = np.empty(0, np.int64), np.full(n, NONE, np.int32)
    begins, think_us = np.ones(n, np.int8), np.ones(n, np.int64)
    if sessions is not None:
        waits = np.flatnonzero(sessions.after >= 0)
        successor[sessions.after[waits]] = waits
        begins = (sessions.turn == 0).astype(np.int8)
        think_us = np.maximum(sessions.think_us, 1)  # an answer causes nothing in its own microsecond
    key = order_key(table, engine)
    return {
        "successor": successor,
        "begins": begins,
        "think_us": think_us,
        "verdict": refusals(table, engine),
        "key": np.empty(0, np.int64) if key is None else key,
        "admitted": np.zeros(n, np.int64),
        "client_cost_us": int(latency.alpha[2]),
        # a user's own priorities may depend on those asked for before, at any instance
        "least_think_us": 1 if control.priority is not None else int(think_us[waits].min(initial=MOST_US)),
    }


_NO_LOOP = Unused(
    successor=np.empty(0, np.int32),
    begins=np.empty(0, np.int8),
    think_us=np.empty(0, np.int64),
    verdict=np.empty(0, np.int8),
    key=np.empty(0, np.int64),
    admitted=np.empty(0, np.int64),
    client_cost_us=0,
    least_think_us=0,
)


def event_columns(size: int) -> Columns:
    """`blis._core.state.EventQueue`."""
    if size == 0:
        return _NO_EVENTS
    return _events(size)


def _events(size: int) -> Columns:
    at = np.zeros(core.QUEUE_SCALARS, np.int64)
    return {"at": at, "time_us": np.empty(size, np.int64), "request": np.empty(size, np.int64)}


_NO_EVENTS = Unused(_events(0))


def front_end_columns(latency: LatencyModel, instances: int, num_requests: int) -> Columns:
    """`blis._core.state.FrontEnds`."""
    if latency.intake_us == 0:
        return _NO_FRONT_ENDS
    return _front_ends(latency.intake_us, instances, num_requests)


def _front_ends(intake_us: int, instances: int, size: int) -> Columns:
    at = np.zeros((instances, core.FRONT_END_SCALARS), np.int64)
    behind, until = (np.full(size, NONE, np.int64) for _ in range(2))
    return {"at": at, "behind": behind, "until": until, "intake_us": intake_us}


_NO_FRONT_ENDS = Unused(_front_ends(0, 0, 0))


def pass_over_refused(requests: Columns, loop: Columns, horizon_us: int) -> bool:
    """Requests that are refused on arrival send on whoever waits for them; here those that wait for nobody.

    Returns whether the horizon kept one from being sent.
    """
    late = False
    successor, status = loop["successor"], requests["status"]
    refused = (status != RequestStatus.NOT_ARRIVED) & (requests["arrival_us"] != NEVER)
    for first in np.flatnonzero(refused & (successor != NONE)).tolist():
        end_us, request = int(requests["arrival_us"][first]), int(successor[first])
        while request != NONE:
            if not loop["begins"][request]:
                status[request] = RequestStatus.NOT_SENT
            else:
                end_us += int(loop["think_us"][request])
                if end_us > horizon_us:
                    late = True
                    break
                requests["arrival_us"][request] = end_us
                requests["visible_us"][request] += end_us
                status[request] = loop["verdict"][request]
                if status[request] == RequestStatus.NOT_ARRIVED:
                    break
            request = int(successor[request])
    return late
