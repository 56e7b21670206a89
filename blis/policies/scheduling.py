"""Who waits before whom: orders of an instance's waiting queue.

A scheduler orders all waiting requests, preempted ones included; only ``fcfs`` puts these in front. None of the
orders here changes while requests wait (age-based priorities grow alike for all), so each is a rank per request.
"""

from __future__ import annotations

import numpy as np

from blis.config.schema import EngineConfig
from blis.workload.requests import Ints, RequestTable

#: Sign of the priority that a request's age gives it: the older the more urgent, or the other way round.
_AGE_SIGN = {"constant": 0, "slo-based": 1, "inverted-slo": -1}


def request_priority(table: RequestTable) -> Ints:
    """The priority each request brings for vLLM's own policy, smaller first; 0 if the table has none."""
    return np.zeros_like(table.arrival_us) if table.priority is None else table.priority


def order_key(table: RequestTable, engine: EngineConfig) -> Ints | None:
    """What the waiting queue goes by before the arrival, where arrivals are not known beforehand.

    Smaller first, in [0, 2**31); -1 for all: later arrivals first. None under ``fcfs``.
    """
    if engine.scheduling_policy == "priority":
        return np.unique(request_priority(table), return_inverse=True)[1].astype(np.int64)
    if engine.scheduler == "fcfs":
        return None
    if engine.scheduler == "sjf":
        return np.unique(table.input_tokens, return_inverse=True)[1].astype(np.int64)
    return np.full(len(table), -1 if _age_sign(engine) < 0 else 0)


def _age_sign(engine: EngineConfig) -> int:
    """1 or 0: the older go first, -1: the younger. A user's own priority decides before this is asked."""
    sign = _AGE_SIGN.get(engine.priority_policy, 0)
    return -sign if engine.scheduler == "reverse-priority" else sign


def waiting_order(table: RequestTable, engine: EngineConfig) -> Ints | None:
    """All requests in the order in which they would be admitted if they all waited.

    Ties go by arrival, then by row. None under ``fcfs``, where the order depends on what happens. A user's own priority
    decides anew in each step; the order here is that of equal priorities.

    * vLLM's own ``priority`` policy: by the table's ``priority``, smaller first.
    * ``sjf``: by prompt length, shortest first.
    * ``priority-fcfs``: by the priority policy, highest first; ``reverse-priority``: lowest first.
    """
    arrival_us = table.arrival_us
    if engine.scheduling_policy == "priority":
        return np.lexsort((arrival_us, request_priority(table)))
    if engine.scheduler == "fcfs":
        return None
    if engine.scheduler == "sjf":
        return np.lexsort((arrival_us, table.input_tokens))
    # at any time t the priority is sign * (t - arrival): highest first is ascending sign * arrival
    return np.lexsort((arrival_us, _age_sign(engine) * arrival_us))
