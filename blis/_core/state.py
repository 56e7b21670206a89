"""The engine's state as structs of arrays.

All arrays are allocated in Python (`blis.simulation`) and survive between calls of the entry; the structs here only
give them names (`blis._core.handles`). Fields never change while compiled code runs; numbers that do live in an int64
array ``at`` of each struct, indexed by the constants above it. Instances share the arrays that have one entry
per request, since a request is at one of them only.

A running request sits in a *slot*. It is either

* a **decoder**: it gets one token in every step. Nothing of it is touched until something happens to it: its
  progress is ``computed[slot] + at[STEPS]``, the step in which something happens is marked in the calendar, and
  ``phase_count`` says how many decoders need a new block in a step. Or it is
* **explicit**: prefilling, resuming, or left out of a step for want of budget. Its fields mean what they say.

Free blocks form one list, oldest first (vLLM's free block queue), made of *nodes*: one shared block, or an
*extent*, a number of blocks that nobody but perhaps their former owner can ever find. See `blis._core.block_pool`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blis._core.flight_state import Flights
from blis._core.layout import struct

if TYPE_CHECKING:
    from numba import float64, int8, int32, int64

# --- at[] of Instance -------------------------------------------------------------------------------------
NOW = 0
WAKE = 1  # when its next step begins, or the one in flight ends; FAR_FUTURE: nothing to do
IN_FLIGHT = 2  # plans whose results are not known: 1 between a step's beginning and its end
DURATION = 3  # of the step in flight
BUDGET = 4  # tokens left in the step that is being scheduled
PREEMPTIONS = 5  # preemptions in the step that is being scheduled
FUTILE = 6  # preemptions since the last token
BLOCKED_REQUEST = 7  # head of the queue that found no room ...
BLOCKED_VERSION = 8  # ... when the pool was in this version ...
BLOCKED_BUDGET = 9  # ... and this budget was left
FINISHED = 10  # requests
LEFT_WAITING = 11  # waiting requests when the step in flight had been scheduled ...
QUEUE_SUM = 12  # ... added up over all steps
CACHED_SUM = 13  # cached tokens of all admissions
KNOWN_SUM = 14  # known tokens of all admissions
ENDED = 15  # requests finished by the last step: those of the first slots in Batch.scratch
INSTANCE_SCALARS = 16
FAR_FUTURE = 2**62

# --- at[] of BlockPool ------------------------------------------------------------------------------------
FREE = 0  # free blocks in all
FRONT = 1  # free blocks without content before the first node of the list
SPARE_NODE = 2  # head of the chain of discarded extra nodes
EXTRA_NODES = 3  # nodes behind the places of contents ever used
VERSION = 4  # moves whenever a request that did not fit might fit now
LEAST_FREE = 5
EPOCH = 6  # goes up when the router looks at the cache's content anew
POOL_SCALARS = 7

# --- columns of BlockPool.nodes ---------------------------------------------------------------------------
NEXT = 0  # in the free list
PREV = 1
SIZE = 2  # blocks of an extent; references to a shared block
CONTENT = 3  # content id of a shared block; NONE: an extent
NODE_COLUMNS = 4
SENTINEL = 0  # node 0 closes the free list to a ring

# --- columns of BlockPool.rings, which hold what is rarely needed of a node ---------------------------------
COPY_NEXT = 0  # shared blocks: the ring of those with equal content, in order of publication
COPY_PREV = 1
COPY_BEHIND = 2  # first copies: the next one with a content of the same bucket, or SENTINEL
OWNER = 0  # extents, which are in no ring: the preempted request that can find its blocks, or NONE
RING_COLUMNS = 3

# --- at[] of WaitingQueue and EventQueue ------------------------------------------------------------------
LENGTH = 0
HEAD = 1
TAIL = 2
QUEUE_SCALARS = 3
RANK_BITS = 31  # of a rank: the place in by_rank; the bits above come first

# --- at[] of Batch ----------------------------------------------------------------------------------------
STEPS = 0  # steps finished so far
RUNNING = 1
FIRST = 2  # running list, in order of admission
LAST = 3
ADMITTED = 4  # admissions so far
EXPLICIT = 5
DECODERS = 6
BASE_SUM = 7  # sum of computed[] over decoders
BATCH_SCALARS = 8

# --- Batch.event ------------------------------------------------------------------------------------------
FINISH = 0
PUBLISH = 1  # a shared block becomes full
CAP = 2  # the last, shorter pre-allocation

# --- load[]: what a step-time law gets to know ------------------------------------------------------------
PREFILL_TOKENS = 0
NUM_DECODES = 1
DECODE_CONTEXT = 2
ATTENTION_PAIRS = 3
PREFILL_CONTEXT = 4
NUM_PREFILLS = 5
MAX_PREFILL_CONTEXT = 6
LOAD_SCALARS = 7

# --- at[] of Recorder -------------------------------------------------------------------------------------
NUM_GAPS = 0  # rows of gap_log in use
NUM_LOG = 1  # rows of step_log in use
HISTOGRAM_USED = 2  # gaps in the histogram are below
RECORDER_SCALARS = 3

# --- at[] of PrefixTable ----------------------------------------------------------------------------------
ENTRIES = 0  # blocks remembered
SPARE_SLOT = 1  # head of the chain of discarded slots
SLOTS = 2  # slots ever used, the sentinel included
TABLE_SCALARS = 3

# --- at[] of Cluster --------------------------------------------------------------------------------------
TO_ADMIT = 0  # next of by_arrival to be admitted
TO_ROUTE = 1  # next of by_arrival to be routed
TO_ENQUEUE = 2  # next of by_visible to become visible to its instance
WORK = 3  # steps and events that may still be done in this call
CULPRIT = 4  # instance (a failed step) or request (a failed decision)
ANSWER = 5  # what the policy answered that failed
DECIDED = 6  # 1: no policy looks at instances, and all decisions are made; 2: front ends are passed, too; then ...
ALONE = 7  # ... the instance whose turn it is
ADMITTED_COUNT = 8  # closed loop: requests that came to their admission
LAST_ARRIVAL = 9  # closed loop: arrival of the last of them
ARRIVAL_TIMES = 10  # closed loop: different arrivals so far
LATE = 11  # closed loop: 1: something was to happen after the horizon
CLUSTER_SCALARS = 12

# --- at[] of FrontEnds, per instance -----------------------------------------------------------------------
COUNT = 0  # requests inside
FIRST_INSIDE = 1
LAST_INSIDE = 2
SERVED = 3  # how long each of them was served since the front end was idle, in parts of a µs
SINCE = 4  # up to which time that is counted
FRONT_END_SCALARS = 5

# --- at[] of DecisionLog ----------------------------------------------------------------------------------
NUM_DECISIONS = 0
DECISION_SCALARS = 1

# --- laws[]: addresses of functions and of what they get -----------------------------------------------------------
WORDS = 0  # what View holds
NUMBERS = 1
STEP_TIME = 2
PARAMETERS = 3
PRIORITY = 4
PRIORITY_STATE = 5
ADMISSION = 6
ADMISSION_STATE = 7
ROUTING = 8
ROUTING_STATE = 9

# --- what a policy looks at: bits -------------------------------------------------------------------------------
LOOKS = 1
LOOKS_UP_PREFIXES = 2
LOOKS_INTO_CACHES = 4

# --- groups of signals that a router's snapshots refresh together -------------------------------------------
QUEUE_GROUP = 0
BATCH_GROUP = 1
KV_GROUP = 2
NUM_GROUPS = 3


@struct
class Limits:
    """What does not change during a run. Counts are blocks, tokens or requests; flags are 0 or 1."""

    block_size: int64
    max_running: int64
    max_tokens: int64
    prefill_threshold: int64  # a huge number: no threshold
    prealloc_blocks: int64
    max_blocks_per_request: int64  # bounds pre-allocation only
    watermark_blocks: int64
    usable_blocks: int64
    caching: int64
    keyless_first: int64
    threshold_spares_lone: int64
    reserve_full_prompt: int64
    priority: int64  # vLLM's own priority policy: the least urgent running request is preempted
    closed_loop: int64  # requests wait for the end of others
    ranked: int64  # the waiting queue goes by rank instead of first come first served
    dynamic: int64  # it goes by a priority that is asked for anew in each step; 1: highest first, -1: lowest first
    last_prompt_token_is_decode: int64
    plain: int64  # never advance decoders in bulk: slow, same result
    logging: int64
    horizon_us: int64
    plans_ahead: int64  # plans in flight when another one is made
    schedule_us: int64  # time that a plan takes
    yield_us: int64  # pause after a round without tokens


@struct
class Requests:
    """One entry per request of the table."""

    arrival_us: int64[::1]
    visible_us: int64[::1]
    prompt_tokens: int64[::1]
    output_tokens: int64[::1]
    first_scheduled_us: int64[::1]
    first_token_us: int64[::1]
    last_token_us: int64[::1]  # of a finished request: when it finished
    produced_tokens: int64[::1]
    cached_tokens: int64[::1]
    num_preemptions: int64[::1]
    status: int8[::1]
    num_shared: int32[::1]  # leading full blocks that another request has, too
    leaf: int32[::1]  # content id of the last of them
    gap_class: int8[::1]  # row of the recorder's histogram


@struct
class BlockPool:
    """KV blocks that are free or shared. Blocks private to a running request are a count in its slot."""

    at: int64[::1]
    nodes: int32[:, ::1]
    rings: int32[:, ::1]  # per node
    place_taken: int8[::1]  # whether the node with this number is in use; covers the places of contents
    parent: int32[::1]  # per content: that of the block before; shared by all instances
    copies: int32[::1]  # per bucket of contents: node of one's first published copy still alive; SENTINEL: none
    changed: int32[::1]  # per content: 2 * epoch of its last change + whether it was there before; empty: not kept
    extent: int32[::1]  # per request: node of the extent it left when it was preempted, or NONE
    extent_keyed: int32[::1]  # per request: blocks of that extent it could find again


@struct
class WaitingQueue:
    """Waiting requests: a linked list under fcfs, else a heap of ranks; by dynamic priority a list sorted upwards."""

    at: int64[::1]
    behind: int32[::1]  # per request; fcfs
    heap: int64[::1]  # ranks
    rank: int64[::1]  # per request: its place among all, were they all waiting; closed loop: see `closed_loop`
    by_rank: int64[::1]  # by the lower bits of a rank
    victim_rank: int64[::1]  # its place by (priority, arrival) alone: ties are equal
    key: float64[::1]  # per place in the heap; dynamic priorities only


@struct
class Batch:
    """The running requests, one slot each."""

    at: int64[::1]
    free_slots: int64[::1]  # stack; its height is max_running - at[RUNNING]
    request: int64[::1]
    admission: int64[::1]  # admission number: running order
    next: int64[::1]
    prev: int64[::1]
    is_decoder: int64[::1]
    computed: int64[::1]  # tokens whose KV exists; of a decoder: that minus at[STEPS]
    known: int64[::1]  # prompt and output tokens so far; explicit slots only
    held: int64[::1]  # blocks; explicit slots only
    shared: int64[::1]  # leading blocks among them that are nodes of the pool
    scheduled: int64[::1]  # tokens in this step; explicit slots only
    explicit: int64[::1]  # the explicit slots in running order
    phase: int64[::1]  # decoders: step (modulo period) that needs a block; NONE: none will
    cap_step: int64[::1]  # decoders: step of the shorter pre-allocation, or NONE
    last_step: int64[::1]  # decoders: step that gives the last token
    event: int64[::1]  # decoders: what happens in the step the calendar has it under
    due: int64[::1]
    calendar_next: int64[::1]
    calendar_prev: int64[::1]
    calendar: int32[::1]  # first slot of each step, modulo a power of two
    phase_count: int64[::1]  # decoders per phase; its length is the period
    class_count: int64[::1]  # decoders per row of the recorder's histogram
    shared_nodes: int32[:, ::1]  # per slot and block
    scratch: int64[::1]  # slots


@struct
class Recorder:
    """Gaps between tokens as a weighted histogram, exact; and the step log, if it is on."""

    at: int64[::1]
    histogram: int64[:, ::1]  # by class and gap in µs
    gap_log: int64[:, ::1]  # (class, gap in µs, count) beyond the histogram
    step_log: int64[:, ::1]  # see codes.LogRecord


@struct
class View:
    """What policies see, see `codes.ViewWord`; filled for one decision after the other."""

    words: int64[::1]
    columns: int64[:, ::1]  # the columns behind them, (`codes.ViewColumn`, instance): the same memory
    numbers: float64[:, ::1]  # (`codes.ViewNumber`, instance)
    request_words: int64[:, ::1]  # per request priority, class and tenant; empty: nobody asks
    state_lengths: int64[::1]  # of the admission, the routing and the priority policy
    shows_kv: int64  # 0: nobody looks at signals of the KV cache
    shows_blocks: int64  # 0: nobody asks how many blocks a prompt fills


@struct
class Instance:
    """One model server: its scheduler, its KV cache and its clock."""

    at: int64[::1]
    load: int64[::1]
    limits: Limits
    requests: Requests
    shown: View
    queue: WaitingQueue
    pool: BlockPool
    batch: Batch
    recorder: Recorder
    flights: Flights


@struct
class PrefixTable:
    """The router's own memory of which prompt blocks it last sent where: a ring of slots, oldest first.

    A slot is a segment of a chain of contents, or the blocks of one prompt that nobody else has.
    """

    at: int64[::1]
    first: int32[::1]  # per chain: its first content
    before: int32[::1]  # per chain: that of the content before it, or NONE
    lowest: int32[::1]  # per chain: slot of its deepest segment; SENTINEL: none
    slots: int32[:, ::1]  # next, previous, chain or NONE, first and last content, instance, segment above
    most_entries: int64


@struct
class Snapshots:
    """Signals that the router sees only now and then: what they are, apart from what it sees."""

    interval_us: int64[::1]  # per group; 0: it always sees them as they are
    last_us: int64[::1]  # per group: when it last looked
    columns: int64[:, ::1]  # as in View
    numbers: float64[:, ::1]


@struct
class EventQueue:
    """A binary heap of events."""

    at: int64[::1]
    time_us: int64[::1]
    request: int64[::1]


@struct
class ClosedLoop:
    """Requests that wait for the end of others; all arrays are empty if none does."""

    successor: int32[::1]  # per request: who waits for it, or NONE
    begins: int8[::1]  # per request: 1: of a session the first, which does not need those before
    think_us: int64[::1]  # per request: from the end of the one it waits for, at the client, to its arrival
    verdict: int8[::1]  # per request: status it gets if it is refused on arrival, else NOT_ARRIVED
    key: int64[::1]  # per request: what ranks go by before the arrival; NONE: later arrivals first; empty: no ranks
    admitted: int64[::1]  # requests in the order in which they came to their admission
    client_cost_us: int64  # per output token
    least_think_us: int64  # a request is over so long before it causes another, or longer
    arrivals: EventQueue
    becoming_visible: EventQueue


@struct
class FrontEnds:
    """What a request passes before its instance sees it; arrays are empty if that takes no capacity."""

    at: int64[:, ::1]  # per instance
    behind: int64[::1]  # per request: who came in next
    until: int64[::1]  # per request: its instance's SERVED with which it is through; NONE: it is not inside
    intake_us: int64  # that each request takes; 0: there is no limit


@struct
class DecisionLog:
    """Every decision with what the policy saw."""

    at: int64[::1]
    decisions: int64[:, ::1]  # codes.DecisionKind, request, µs, answer
    columns: int64[:, :, ::1]  # per decision as in View
    numbers: float64[:, :, ::1]


@struct
class Cluster:
    """All instances, and what decides about them."""

    at: int64[::1]
    instances: int64[::1]  # addresses, for `blis._core.handles.borrow`
    wake_us: int64[::1]  # per instance: its at[WAKE]
    by_arrival: int64[::1]  # requests that are not refused
    by_visible: int64[::1]  # those of them that become visible before the horizon
    target: int32[::1]  # per request: its instance, or NONE
    forced: int64[::1]  # request and instance to which it goes whatever the router says; NONE: nobody
    parent: int32[::1]  # per content: that of the block before
    prompt_leaf: int32[::1]  # per request: content of the last of those prompt blocks that others have too
    prompt_shared: int32[::1]  # and how many those are
    prompt_chain: int32[::1]  # and the prefix table's chain of that content
    chain: int64[::1]  # scratch: contents of a prompt
    num_admissions: int64  # of by_arrival, before the horizon
    num_routings: int64
    admission_latency_us: int64
    routing_latency_us: int64
    admission_looks: int64  # LOOKS, or more, or nothing
    routing_looks: int64
    uses_prefix_table: int64
    tracing: int64
    limits: Limits
    requests: Requests
    shown: View
    snapshots: Snapshots
    table: PrefixTable
    decision_log: DecisionLog
    front_ends: FrontEnds
    loop: ClosedLoop
