"""Events of requests whose time is known only while the engine runs: a binary heap by time, then by request."""

from __future__ import annotations

from numba import int64

from blis._core.jit import kernel
from blis._core.state import LENGTH


@kernel
def is_before(time_us, request, other_us, other):
    """Whether the first of two events comes first."""
    return time_us < other_us or (time_us == other_us and request < other)


@kernel
def push_event(queue, time_us, request):
    """Add an event."""
    times, requests = queue.time_us, queue.request
    child = queue.at[LENGTH]
    queue.at[LENGTH] = child + 1
    while child > 0:
        parent = (child - 1) >> 1
        if is_before(times[parent], requests[parent], time_us, request):
            break
        times[child], requests[child] = times[parent], requests[parent]
        child = parent
    times[child], requests[child] = time_us, request


@kernel
def pop_event(queue):
    """Remove the first event."""
    times, requests = queue.time_us, queue.request
    size = queue.at[LENGTH] - 1
    queue.at[LENGTH] = size
    time_us, request = times[size], requests[size]
    parent = int64(0)
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        right = child + 1
        if right < size and is_before(times[right], requests[right], times[child], requests[child]):
            child = right
        if not is_before(times[child], requests[child], time_us, request):
            break
        times[parent], requests[parent] = times[child], requests[child]
        parent = child
    times[parent], requests[parent] = time_us, request
