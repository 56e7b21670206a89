"""Names for the small integers that cross the engine's border. Free of numba."""

from __future__ import annotations

from enum import IntEnum

#: A time that never came, an id that is none.
NEVER = -1
NONE = -1


class RequestStatus(IntEnum):
    """The one state in which each request of a run ends."""

    #: Its arrival lies behind the end of the run.
    NOT_ARRIVED = 0
    #: Arrived, never finished, holds no place in the batch (includes preempted ones).
    WAITING = 1
    #: In the batch when the run ended.
    RUNNING = 2
    COMPLETED = 3
    #: Turned away by the admission policy.
    REJECTED = 4
    #: Refused on arrival: the prompt is longer than ``max_model_len`` allows.
    REFUSED_TOO_LONG = 5
    #: Refused on arrival: needs more KV blocks than the cache has.
    REFUSED_NEVER_FITS = 6


class StopReason(IntEnum):
    """Why the compiled engine handed control back."""

    #: Nothing is left to do.
    DONE = 0
    #: Everything up to the horizon has happened.
    HORIZON = 1
    #: It ran as many steps as it was asked to; call it again to go on.
    PAUSED = 2
    #: A log has to be emptied before it can go on.
    LOG_FULL = 3
    #: Requests wait, nothing runs, and no step can change that: a bug.
    STALLED = 4
    #: Requests preempt each other for ever and none gets a token.
    LIVELOCK = 5


class LogRecord(IntEnum):
    """First column of a row of the step log; the other columns depend on it."""

    #: (start µs, duration µs, free blocks after scheduling)
    STEP = 0
    #: (prefill tokens, decodes, -)
    LOAD = 1
    #: (request, tokens, -), in scheduling order
    SCHEDULED = 2
    #: (request, cached tokens, 1 if it was preempted before)
    ADMITTED = 3
    #: (request, -, -)
    PREEMPTED = 4
    #: (request, -, -)
    FINISHED = 5
    #: (free blocks, running, waiting) when the step is over
    END = 6
