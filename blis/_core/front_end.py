"""The API server in front of an instance: one thread, which all requests that it has in hand share evenly.

Each request wants the same time of it. So they come out in the order in which they came in, each when it has been
served for that long: of n that come together, all after n times as long. What every request in hand has been served so
far is one number, counted since the server was idle.
"""

from __future__ import annotations

from numba import int64

from blis._core.codes import NONE
from blis._core.jit import kernel
from blis._core.state import COUNT, FIRST_INSIDE, LAST_INSIDE, SERVED, SINCE

#: Parts of a µs in which service is counted, as a power of two.
FRACTION_BITS = 20


@kernel
def enter(front_ends, i, request, now_us):
    """A request comes to the API server of instance ``i``."""
    at = front_ends.at
    catch_up(at, i, now_us)
    if at[i, COUNT] == 0:
        at[i, FIRST_INSIDE] = request
    else:
        front_ends.behind[at[i, LAST_INSIDE]] = request
    at[i, LAST_INSIDE] = request
    at[i, COUNT] += 1
    front_ends.until[request] = at[i, SERVED] + (front_ends.intake_us << FRACTION_BITS)


@kernel
def catch_up(at, i, now_us):
    """Share out the time since the last look."""
    if at[i, COUNT] == 0:
        at[i, SERVED] = 0
    else:
        at[i, SERVED] += ((now_us - at[i, SINCE]) << FRACTION_BITS) // at[i, COUNT]
    at[i, SINCE] = now_us


@kernel
def due_us(front_ends, i):
    """When the first request inside will be through if nobody else comes."""
    at = front_ends.at
    missing = max(int64(0), front_ends.until[at[i, FIRST_INSIDE]] - at[i, SERVED]) * at[i, COUNT]
    return at[i, SINCE] + ((missing + (int64(1) << FRACTION_BITS) - 1) >> FRACTION_BITS)


@kernel
def leave(front_ends, i, now_us):
    """The first request inside leaves, if it is through. Returns whether it is."""
    if due_us(front_ends, i) > now_us:  # others came in since; who looks must not change how service is rounded
        return False
    at = front_ends.at
    catch_up(at, i, now_us)
    at[i, COUNT] -= 1
    if at[i, COUNT] > 0:
        at[i, FIRST_INSIDE] = front_ends.behind[at[i, FIRST_INSIDE]]
    return True


@kernel
def pass_through(front_ends, by_visible, target, visible_us):
    """Let all requests through whose instances and times of coming are known: when they become visible.

    ``by_visible`` is sorted by instance, then by the time at which they come; in that order they become visible.
    """
    at, i = front_ends.at, int64(NONE)
    for k in range(len(by_visible) + 1):
        request = int64(by_visible[k]) if k < len(by_visible) else int64(NONE)
        instance = int64(target[request]) if request != NONE else int64(NONE)
        if request != NONE and instance == NONE:  # rejected
            continue
        while i != NONE and at[i, COUNT] > 0:
            through_us = due_us(front_ends, i)
            if instance == i and through_us > visible_us[request]:
                break
            first = at[i, FIRST_INSIDE]
            leave(front_ends, i, through_us)
            visible_us[first] = through_us
        if request != NONE:
            enter(front_ends, instance, request, visible_us[request])
        i = instance
