"""Names for the small integers that cross the engine's border. Free of numba."""

from __future__ import annotations

from enum import IntEnum

#: A time that never came, an id that is none.
NEVER = -1
NONE = -1
#: Nothing keeps the engine from going on (else: a `StopReason`).
GO_ON = -1


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
    #: A turn of a session that had ended before: an earlier turn was rejected or refused.
    NOT_SENT = 7


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
    #: No policy looks at instances and all decisions are made: requests may be sorted by instance.
    ROUTED = 6
    #: A policy or the step-time law failed, or gave an answer that is none.
    ADMISSION_FAILED = 7
    ROUTING_FAILED = 8
    PRIORITY_FAILED = 9
    STEP_TIME_FAILED = 10


class StepLog(IntEnum):
    """What a run writes to its step log."""

    NOTHING = 0
    #: Which requests were admitted, preempted and finished. Steps need not be taken one by one for that.
    REQUESTS = 1
    #: Also all of a step but its requests.
    LOADS = 2
    ALL = 3


class LogRecord(IntEnum):
    """First column of a row of the step log; the other columns depend on it."""

    #: (start µs, duration µs, free blocks after scheduling)
    STEP = 0
    #: (prefill tokens, decodes, their context tokens), as the step-time law gets them
    LOAD = 1
    #: (request, tokens, -), in scheduling order
    SCHEDULED = 2
    #: (request, cached tokens, 1 if it was preempted before)
    ADMITTED = 3
    #: (request, µs, -)
    PREEMPTED = 4
    #: (request, -, -)
    FINISHED = 5
    #: (free blocks, running, waiting) when the step is over
    END = 6
    #: (query-key pairs, prefill context tokens, prefills), likewise
    PREFILLS = 7
    #: (most context tokens of one prefill, -, -), likewise
    LONGEST_PREFILL = 8
    #: (µs, -, -), when the step that follows was planned; only where plans are made ahead
    PLAN = 9


class DecisionKind(IntEnum):
    """What a row of the decision log is about."""

    #: Its answer is 1 (admitted) or 0.
    ADMISSION = 0
    #: Its answer is the instance.
    ROUTING = 1


class ViewWord(IntEnum):
    """Words of the int64 block through which a policy sees a decision; behind them `ViewColumn`."""

    NUM_INSTANCES = 0
    #: µs: the moment of the decision.
    NOW_US = 1
    #: Row of the request in its table.
    REQUEST = 2
    ARRIVAL_US = 3
    INPUT_TOKENS = 4
    #: vLLM's request priority, smaller is more urgent.
    PRIORITY = 5
    #: Code of the class (`blis.workload.requests.Labels`), -1 if none is given.
    SLO_CLASS = 6
    #: Code of the tenant, likewise.
    TENANT = 7
    #: Full KV blocks of the prompt.
    PROMPT_BLOCKS = 8
    #: Numbers in the policy's state.
    STATE_LENGTH = 9
    #: Tokens per KV block.
    BLOCK_SIZE = 10


#: Words before the first column.
VIEW_HEADER = 16


class ViewColumn(IntEnum):
    """Columns of int64, one value per instance: column c of instance i is word ``VIEW_HEADER + c * n + i``."""

    #: Waiting requests.
    QUEUE_DEPTH = 0
    #: Running requests.
    BATCH_SIZE = 1
    #: Requests routed there which its scheduler does not see yet.
    PENDING_REQUESTS = 2
    FREE_KV_BLOCKS = 3
    #: Leading full blocks of the prompt up to the deepest that the router last sent there.
    PREFIX_BLOCKS = 4
    #: Leading full blocks of the prompt that are in the instance's prefix cache.
    CACHED_BLOCKS = 5


class ViewNumber(IntEnum):
    """Columns of float64, one value per instance: column c of instance i is number ``c * n + i``."""

    #: Referenced blocks / usable blocks.
    KV_UTILIZATION = 0
    #: Cached tokens / known tokens of all admissions so far; 0 before the first.
    CACHE_HIT_RATE = 1
    #: Written by routing policies that score; the higher the better.
    SCORE = 2


#: What a policy returns if it failed.
RAISED = -(2**62)
