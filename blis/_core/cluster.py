"""The shared clock: arrivals are decided about, requests become visible, instances take their steps.

Events are ordered by (time, class, sequence), the classes being admission, routing, a request becoming visible to
its instance, a step's beginning or end. Within a class requests go in the order of their arrival or of their
becoming visible, then in that of the table; instances in theirs. Each class is a sorted array, or an instance,
and the next event is the first of their heads.

Instances know nothing of each other. So each is brought up to date only when somebody looks at it or sends it
something, and a router that looks at nothing leaves every instance to itself.
"""

from __future__ import annotations

from numba import int64

from blis._core.codes import RequestStatus, StopReason, ViewColumn
from blis._core.handles import borrow
from blis._core.instance import GO_ON, advance
from blis._core.jit import kernel
from blis._core.router import decide_admission, decide_routing
from blis._core.state import (
    ALONE,
    CULPRIT,
    DECIDED,
    FAR_FUTURE,
    NONE,
    NOW,
    STEPS,
    TO_ADMIT,
    TO_ENQUEUE,
    TO_ROUTE,
    WAKE,
    WORK,
)
from blis._core.view import show_instance
from blis._core.waiting_queue import enqueue

DONE = int(StopReason.DONE)
PAUSED = int(StopReason.PAUSED)
ROUTED = int(StopReason.ROUTED)
REJECTED = int(RequestStatus.REJECTED)
WAITING = int(RequestStatus.WAITING)
PENDING_REQUESTS = int(ViewColumn.PENDING_REQUESTS)

# kinds of events; STOP: there is none before the horizon
ADMIT, ROUTE, BECOME_VISIBLE, STOP = 0, 1, 2, 3


@kernel
def run_cluster(cluster, laws, max_work):
    """Go on until nothing is left to do before the horizon, or something stops it; returns a `StopReason`."""
    at, wake_us, looks = cluster.at, cluster.wake_us, somebody_looks(cluster)
    at[WORK] = max_work
    if at[DECIDED]:
        return leave_alone(cluster, laws)
    while True:
        kind, time_us = next_event(cluster, looks)
        if at[WORK] <= 0:
            return PAUSED
        at[WORK] -= 1
        first, last = whom_it_concerns(cluster, kind)
        for i in range(first, last):
            if wake_us[i] >= time_us:
                continue
            instance = borrow(cluster.instances[i])
            steps = instance.batch.at[STEPS]
            reason = advance(instance, laws, time_us, time_us, at[WORK])
            at[WORK] -= instance.batch.at[STEPS] - steps
            wake_us[i] = instance.at[WAKE]
            if looks:
                show_instance(cluster, i, instance)
            if reason != GO_ON:
                at[CULPRIT] = i
                return reason
        if kind == STOP:
            return DONE if looks else ROUTED
        reason = happen(cluster, laws, kind, time_us)
        if reason != GO_ON:
            return reason


@kernel
def leave_alone(cluster, laws):
    """All is decided, and requests are sorted by instance: let one instance after the other do all it has to do."""
    at, by_visible, target = cluster.at, cluster.by_visible, cluster.target
    requests, end_us = cluster.requests, cluster.limits.horizon_us + 1
    while at[ALONE] < len(cluster.wake_us):
        i = at[ALONE]
        instance = borrow(cluster.instances[i])
        until = end_us
        request = int64(NONE)
        if at[TO_ENQUEUE] < len(by_visible) and target[by_visible[at[TO_ENQUEUE]]] <= i:
            request = by_visible[at[TO_ENQUEUE]]
            until = requests.visible_us[request]
        if instance.at[WAKE] < until:
            steps = instance.batch.at[STEPS]
            reason = advance(instance, laws, until, end_us, at[WORK])
            at[WORK] -= instance.batch.at[STEPS] - steps + 1
            if reason != GO_ON:
                at[CULPRIT] = i
                return reason
        if request == NONE:
            at[ALONE] += 1
            continue
        become_visible(cluster, until)
    return int64(DONE)


@kernel
def somebody_looks(cluster):
    """Whether a policy wants to see instances."""
    return cluster.admission_looks | cluster.routing_looks != 0


@kernel
def next_event(cluster, looks):
    """Kind and time of what comes next. If no policy looks at anything, all decisions come before all else."""
    at, arrival_us = cluster.at, cluster.requests.arrival_us
    kind, time_us = int64(STOP), cluster.limits.horizon_us + 1
    if looks and at[TO_ENQUEUE] < len(cluster.by_visible):
        kind, time_us = int64(BECOME_VISIBLE), cluster.requests.visible_us[cluster.by_visible[at[TO_ENQUEUE]]]
    latency_us = cluster.admission_latency_us
    if at[TO_ROUTE] < cluster.num_routings:
        routing_us = arrival_us[cluster.by_arrival[at[TO_ROUTE]]] + latency_us + cluster.routing_latency_us
        if routing_us <= time_us:
            kind, time_us = int64(ROUTE), routing_us
    if at[TO_ADMIT] < cluster.num_admissions:
        admission_us = arrival_us[cluster.by_arrival[at[TO_ADMIT]]] + latency_us
        if admission_us <= time_us:
            kind, time_us = int64(ADMIT), admission_us
    return kind, time_us


@kernel
def whom_it_concerns(cluster, kind):
    """The range of instances that must have done everything before an event."""
    everybody = len(cluster.wake_us)
    if kind == BECOME_VISIBLE:
        target = int64(cluster.target[cluster.by_visible[cluster.at[TO_ENQUEUE]]])
        return target, target + 1 if target != NONE else target
    if kind == ADMIT:
        return int64(0), everybody if cluster.admission_looks else int64(0)
    if kind == ROUTE:
        return int64(0), everybody if cluster.routing_looks else int64(0)
    return int64(0), everybody if somebody_looks(cluster) else int64(0)


@kernel
def happen(cluster, laws, kind, time_us):
    """Let an event happen."""
    if kind == ADMIT:
        return decide_admission(cluster, laws, time_us)
    if kind == BECOME_VISIBLE:
        become_visible(cluster, time_us)
        return GO_ON
    if cluster.requests.status[cluster.by_arrival[cluster.at[TO_ROUTE]]] != REJECTED:
        return decide_routing(cluster, laws, time_us)
    cluster.at[TO_ROUTE] += 1
    return GO_ON


@kernel
def become_visible(cluster, now_us):
    """A request joins the waiting queue of its instance."""
    request = cluster.by_visible[cluster.at[TO_ENQUEUE]]
    cluster.at[TO_ENQUEUE] += 1
    target = int64(cluster.target[request])
    if target == NONE:  # rejected
        return
    instance = borrow(cluster.instances[target])
    cluster.requests.status[request] = WAITING
    enqueue(instance.queue, request, int64(0), instance.limits)
    cluster.shown.columns[PENDING_REQUESTS, target] -= 1
    if instance.at[WAKE] == FAR_FUTURE:
        instance.at[WAKE] = max(now_us, instance.at[NOW])  # if left alone its last step may have ended later
        cluster.wake_us[target] = instance.at[WAKE]
    if somebody_looks(cluster):
        show_instance(cluster, target, instance)
