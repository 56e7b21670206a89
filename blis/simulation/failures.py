"""What an engine stopped with, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core import state as core
from blis._core.codes import RAISED, StopReason, ViewWord
from blis.errors import BlisError, EngineError, InvariantError
from blis.latency.law import LatencyModel
from blis.policies.policy import Policy
from blis.simulation.control import Control
from blis.simulation.packing import Columns


def failure(
    reason: StopReason,
    control: Control,
    latency: LatencyModel,
    cluster: Columns,
    instances: Columns,
    view: Columns,
    states: Sequence[NDArray[np.float64]],
) -> BlisError:
    """Why a run did not come to its end.

    Args:
        reason: of the engine.
        control: whose policies were asked.
        latency: whose law was.
        cluster: `blis._core.state.Cluster`.
        instances: `blis._core.state.Instance` of all.
        view: `blis._core.state.View`.
        states: of the admission, the routing and the priority policy.
    """
    culprit, answer = cluster["at"][[core.CULPRIT, core.ANSWER]].tolist()
    now_us = int(view["words"][ViewWord.NOW_US])
    if reason in (StopReason.ADMISSION_FAILED, StopReason.ROUTING_FAILED):
        which = int(reason == StopReason.ROUTING_FAILED)
        policy, kind = (control.admission, control.routing)[which], ("admission", "routing")[which]
        wanted = ("true or false", f"an instance from 0 to {control.options.num_instances - 1}")[which]
        said = f"{policy.name}: answered {answer}; it must be {wanted}"
        if answer == RAISED:
            said = _said(policy, view, states[which])
        return EngineError(f"{kind} policy {said}, for request_{culprit} at {now_us} µs")
    now_us = int(instances["at"][culprit, core.NOW])
    where = f"instance_{culprit} at {now_us} µs"
    if reason == StopReason.PRIORITY_FAILED and control.priority is not None:
        request = int(view["words"][ViewWord.REQUEST])
        said = _said(control.priority, view, states[2])
        return EngineError(f"priority policy {said}, for request_{request} on {where}")
    if reason == StopReason.STEP_TIME_FAILED:
        said = f"{latency.name}: answered a negative time"
        if latency.failure is not None:
            said = latency.failure(instances["load"][culprit], latency.parameters)
        return EngineError(f"step time {said}, on {where}")
    if reason == StopReason.LIVELOCK:
        return EngineError(
            f"livelock on {where}: requests keep preempting each other and none gets a token; "
            "give the KV cache more blocks or switch prefix caching on"
        )
    return InvariantError(f"stalled on {where}: requests wait, but no step can serve any")


def _said(policy: Policy, view: Columns, state: NDArray[Any]) -> str:
    return policy.failure(view["words"], view["numbers"].ravel(), state)
