"""The shared clock: arrivals are decided about, requests become visible, instances take their steps.

Events are ordered by (time, class, sequence), the classes being admission, routing, a request becoming visible to
its instance, a step's beginning or end. Within a class requests go in the order of their arrival or of their
becoming visible, then in that of the table; instances in theirs. Each class is a sorted array, or an instance,
and the next event is the first of their heads.

Instances know nothing of each other. So each is brought up to date only when somebody looks at it or sends it
something, and a router that looks at nothing leaves every instance to itself.

``ahead`` says how instances go through time: None: `blis._core.instance`; anything else: `blis._core.ahead`.
"""

from __future__ import annotations

from numba import int64

from blis._core.ahead import advance_ahead
from blis._core.closed_loop import next_arrival, number_arrival, release, two_earliest
from blis._core.codes import GO_ON, NONE, RequestStatus, StopReason, ViewColumn
from blis._core.event_queue import pop_event, push_event
from blis._core.front_end import due_us, enter, leave, pass_through
from blis._core.handles import borrow
from blis._core.instance import advance
from blis._core.jit import kernel
from blis._core.router import decide_admission, decide_routing
from blis._core.state import (
    ADMITTED_COUNT,
    ALONE,
    COUNT,
    CULPRIT,
    DECIDED,
    ENDED,
    FAR_FUTURE,
    FIRST_INSIDE,
    LENGTH,
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

#: What at[DECIDED] is in the first call behind the last decision.
JUST_DECIDED = 1

# kinds of events; STOP: there is none before the horizon
ADMIT, ROUTE, BECOME_VISIBLE, STOP = 0, 1, 2, 3


@kernel
def run_cluster(cluster, laws, max_work, ahead):
    """Go on until nothing is left to do before the horizon, or something stops it; returns a `StopReason`."""
    at, wake_us, looks = cluster.at, cluster.wake_us, somebody_looks(cluster)
    closed_loop = cluster.limits.closed_loop
    at[WORK] = max_work
    if at[DECIDED] == JUST_DECIDED and cluster.front_ends.intake_us > 0:
        at[DECIDED] = int64(2)
        pass_through(cluster.front_ends, cluster.by_visible, cluster.target, cluster.requests.visible_us)
    if at[DECIDED]:
        return leave_alone(cluster, laws, ahead)
    while True:
        kind, time_us, request = next_event(cluster, looks)
        if at[WORK] <= 0:
            return PAUSED
        at[WORK] -= 1
        first, last, until = whom_it_concerns(cluster, kind, time_us, request)
        i = next_awake(wake_us, first, last, until)
        sent = False
        while i < last:
            instance = borrow(cluster.instances[i])
            steps = instance.batch.at[STEPS]
            reason = bring_up_to_date(instance, laws, until, until, at[WORK], ahead)
            at[WORK] -= instance.batch.at[STEPS] - steps
            wake_us[i] = instance.at[WAKE]
            if looks:
                show_instance(cluster, i, instance)
            if closed_loop:
                sent = let_go_on(cluster, instance) or sent
            if reason != GO_ON:
                at[CULPRIT] = i
                return reason
            i = next_awake(wake_us, i + 1, last, until)
        if sent or until < time_us:
            continue
        if kind == STOP:
            return DONE if looks or closed_loop else ROUTED
        reason = happen(cluster, laws, kind, time_us, request)
        if reason != GO_ON:
            return reason


@kernel
def leave_alone(cluster, laws, ahead):
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
            until = min(requests.visible_us[request], end_us)
        if instance.at[WAKE] < until:
            steps = instance.batch.at[STEPS]
            reason = bring_up_to_date(instance, laws, until, end_us, at[WORK], ahead)
            at[WORK] -= instance.batch.at[STEPS] - steps + 1
            if reason != GO_ON:
                at[CULPRIT] = i
                return reason
        if request == NONE:
            at[ALONE] += 1
            continue
        if until < end_us:
            become_visible(cluster, request, until)
        else:  # its front end had it until the horizon
            at[TO_ENQUEUE] += 1
    return int64(DONE)


@kernel
def bring_up_to_date(instance, laws, until, end, max_steps, ahead):
    """Let an instance do what comes before a moment; see `advance`."""
    if ahead is None:
        return advance(instance, laws, until, end, max_steps)
    # not compiled for the others
    return advance_ahead(instance, laws, until, end, max_steps)


@kernel
def somebody_looks(cluster):
    """Whether a policy wants to see instances."""
    return cluster.admission_looks | cluster.routing_looks != 0


@kernel
def next_event(cluster, looks):
    """Kind, time and request of what comes next. If no policy looks at anything, all decisions come before all else."""
    at, arrival_us = cluster.at, cluster.requests.arrival_us
    kind, time_us, request = int64(STOP), cluster.limits.horizon_us + 1, int64(NONE)
    latency_us = cluster.admission_latency_us
    if cluster.limits.closed_loop:
        queue = cluster.loop.becoming_visible
        if queue.at[LENGTH] > 0:
            kind, time_us, request = int64(BECOME_VISIBLE), queue.time_us[0], queue.request[0]
        to_admit, to_route = next_arrival(cluster), int64(NONE)
        if at[TO_ROUTE] < at[ADMITTED_COUNT]:
            to_route = cluster.loop.admitted[at[TO_ROUTE]]
    else:
        if looks and at[TO_ENQUEUE] < len(cluster.by_visible):
            request = cluster.by_visible[at[TO_ENQUEUE]]
            kind, time_us = int64(BECOME_VISIBLE), cluster.requests.visible_us[request]
        to_admit, to_route = int64(NONE), int64(NONE)
        if at[TO_ROUTE] < cluster.num_routings:
            to_route = cluster.by_arrival[at[TO_ROUTE]]
        if at[TO_ADMIT] < cluster.num_admissions:
            to_admit = cluster.by_arrival[at[TO_ADMIT]]
    if to_route != NONE:
        routing_us = arrival_us[to_route] + latency_us + cluster.routing_latency_us
        if routing_us <= time_us:
            kind, time_us, request = int64(ROUTE), routing_us, to_route
    if to_admit != NONE:
        admission_us = arrival_us[to_admit] + latency_us
        if admission_us <= time_us:
            kind, time_us, request = int64(ADMIT), admission_us, to_admit
    if time_us > cluster.limits.horizon_us:
        return int64(STOP), cluster.limits.horizon_us + 1, int64(NONE)
    return kind, time_us, request


@kernel
def whom_it_concerns(cluster, kind, time_us, request):
    """The range of instances that have to do something before an event, and until when.

    In a closed loop others may be sent something before that: whoever takes a step in ``first_us`` gives a notice of
    at least ``least_think_us``. Until then all may go on; the first of them, which stops as soon as a request is over,
    until the next one's turn.
    """
    everybody = len(cluster.wake_us)
    if cluster.limits.closed_loop:
        first_us, second_us = two_earliest(cluster.wake_us)
        notice_us = first_us + cluster.loop.least_think_us
        if notice_us <= time_us:  # something else may come first
            return int64(0), everybody, min(time_us, max(second_us, notice_us))
    if kind == BECOME_VISIBLE:
        target = int64(cluster.target[request])
        return target, target + 1 if target != NONE else target, time_us
    to_the_end = int64(somebody_looks(cluster)) | cluster.limits.closed_loop
    looks = (cluster.admission_looks, cluster.routing_looks, int64(0), to_the_end)[kind]
    return int64(0), everybody if looks != 0 else int64(0), time_us


@kernel
def next_awake(wake_us, i, last, until):
    """The first instance from ``i`` to ``last`` that has something to do before a moment, or ``last``."""
    while i + 3 < last and not (
        (wake_us[i] < until) | (wake_us[i + 1] < until) | (wake_us[i + 2] < until) | (wake_us[i + 3] < until)
    ):
        i += 4
    while i < last and wake_us[i] >= until:
        i += 1
    return i


@kernel
def let_go_on(cluster, instance):
    """Requests of an instance are over; those who wait for them are sent. Returns whether there are any."""
    count = instance.at[ENDED]
    for k in range(count):
        request = instance.batch.request[instance.batch.scratch[k]]
        client_us = cluster.loop.client_cost_us * cluster.requests.output_tokens[request]
        release(cluster, request, instance.at[NOW] + client_us)
    instance.at[ENDED] = 0
    return count > 0


@kernel
def happen(cluster, laws, kind, time_us, request):
    """Let an event happen."""
    at, status, closed_loop = cluster.at, cluster.requests.status, cluster.limits.closed_loop
    if kind == BECOME_VISIBLE:
        if closed_loop:
            pop_event(cluster.loop.becoming_visible)
        if cluster.front_ends.intake_us == 0 or comes_out(cluster, request, time_us):
            become_visible(cluster, request, time_us)
        return GO_ON
    if kind == ADMIT:
        reason = decide_admission(cluster, laws, request, time_us)
        if reason != GO_ON:
            return reason
        if at[TO_ADMIT] < len(cluster.by_arrival) and cluster.by_arrival[at[TO_ADMIT]] == request:
            at[TO_ADMIT] += 1
        else:
            pop_event(cluster.loop.arrivals)
        if closed_loop:
            number_arrival(cluster, borrow(cluster.instances[0]).queue, request)
            if status[request] == REJECTED:
                release(cluster, request, time_us)
        return GO_ON
    if status[request] != REJECTED:
        reason = decide_routing(cluster, laws, request, time_us)
        if reason != GO_ON:
            return reason
        if closed_loop:
            push_event(cluster.loop.becoming_visible, cluster.requests.visible_us[request], request)
    at[TO_ROUTE] += 1
    return GO_ON


@kernel
def comes_out(cluster, request, now_us):
    """A request comes to its front end, or was to be through with it by now. Returns whether it is."""
    front_ends, queue = cluster.front_ends, cluster.loop.becoming_visible
    i = int64(cluster.target[request])
    if front_ends.until[request] == NONE:
        enter(front_ends, i, request, now_us)
        cluster.requests.visible_us[request] = FAR_FUTURE
        if front_ends.at[i, COUNT] == 1:
            push_event(queue, due_us(front_ends, i), request)
        return False
    is_out = leave(front_ends, i, now_us)
    if front_ends.at[i, COUNT] > 0:
        push_event(queue, due_us(front_ends, i), front_ends.at[i, FIRST_INSIDE])
    if is_out:
        cluster.requests.visible_us[request] = now_us
    return is_out


@kernel
def become_visible(cluster, request, now_us):
    """A request joins the waiting queue of its instance."""
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
