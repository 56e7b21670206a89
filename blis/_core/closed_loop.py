"""Requests that are sent only when another one is done: turns of a conversation, users who wait for an answer.

Their times are known only while the engine runs, so what is a sorted array for others is a heap for them. An arrival
may come of any step's end, but not at once: whoever waits thinks first. So nobody goes further ahead of the slowest
instance than the shortest thought takes.
"""

from __future__ import annotations

from numba import int64

from blis._core.codes import NONE, RequestStatus
from blis._core.event_queue import is_before, push_event
from blis._core.jit import kernel
from blis._core.state import (
    ADMITTED_COUNT,
    ARRIVAL_TIMES,
    FAR_FUTURE,
    LAST_ARRIVAL,
    LATE,
    LENGTH,
    RANK_BITS,
    TO_ADMIT,
)

NOT_ARRIVED = int(RequestStatus.NOT_ARRIVED)
NOT_SENT = int(RequestStatus.NOT_SENT)
REJECTED = int(RequestStatus.REJECTED)


@kernel
def release(cluster, request, end_us):
    """A request is over; whoever waits for it arrives in a while.

    The rest of a session that was turned away is never sent; the same user's next one is. A request that is refused
    when it arrives is over then.
    """
    loop, requests = cluster.loop, cluster.requests
    failed = requests.status[request] == REJECTED
    request = int64(loop.successor[request])
    while request != NONE:
        if failed and not loop.begins[request]:
            requests.status[request] = NOT_SENT
        else:
            end_us += loop.think_us[request]
            if end_us > cluster.limits.horizon_us:
                cluster.at[LATE] = 1
                return
            requests.arrival_us[request] = end_us
            requests.visible_us[request] += end_us
            if loop.verdict[request] == NOT_ARRIVED:
                push_event(loop.arrivals, end_us, request)
                return
            requests.status[request] = loop.verdict[request]
            failed = True
        request = int64(loop.successor[request])


@kernel
def next_arrival(cluster):
    """The request that comes next to its admission, or NONE."""
    at, arrivals = cluster.at, cluster.loop.arrivals
    request = int64(NONE)
    if at[TO_ADMIT] < len(cluster.by_arrival):
        request = cluster.by_arrival[at[TO_ADMIT]]
    if arrivals.at[LENGTH] > 0:
        first, time_us = arrivals.request[0], arrivals.time_us[0]
        if request == NONE or is_before(time_us, first, cluster.requests.arrival_us[request], request):
            request = first
    return request


@kernel
def number_arrival(cluster, queue, request):
    """Give a request its place in the order of arrival, and what the waiting queues go by."""
    at, loop = cluster.at, cluster.loop
    number = at[ADMITTED_COUNT]
    at[ADMITTED_COUNT] = number + 1
    loop.admitted[number] = request
    arrival_us = cluster.requests.arrival_us[request]
    if arrival_us != at[LAST_ARRIVAL]:
        at[LAST_ARRIVAL] = arrival_us
        at[ARRIVAL_TIMES] += 1
    if len(loop.key) > 0:
        key = loop.key[request]
        if key == NONE:  # the later the sooner
            key = (int64(1) << RANK_BITS) - at[ARRIVAL_TIMES]
        queue.rank[request] = (key << RANK_BITS) + number
        queue.victim_rank[request] = (key << RANK_BITS) + at[ARRIVAL_TIMES]


@kernel
def two_earliest(wake_us):
    """When the first step of any instance begins or ends, and when the first of any other one's does."""
    first_us = second_us = int64(FAR_FUTURE)
    for i in range(len(wake_us)):
        second_us = min(second_us, max(first_us, wake_us[i]))
        first_us = min(first_us, wake_us[i])
    return first_us, second_us
