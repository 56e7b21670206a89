"""The engine's state as structs of arrays.

All arrays are allocated in Python (`blis.simulation`) and survive between calls of the entry; the jitclasses
here only give them names inside it. Numbers that change live in an int64 array ``at`` of each struct, indexed
by the constants above it (see `blis._core.jit` for why).

A running request sits in a *slot*. It is either

* a **decoder**: it gets one token in every step. Nothing of it is touched until something happens to it: its
  progress is ``computed[slot] + at[STEPS]``, the step in which something happens is marked in the calendar, and
  ``phase_count`` says how many decoders need a new block in a step. Or it is
* **explicit**: prefilling, resuming, or left out of a step for want of budget. Its fields mean what they say.

Free blocks form one list, oldest first (vLLM's free block queue), made of *nodes*: one shared block, or an
*extent*, a number of blocks that nobody but perhaps their former owner can ever find. See `blis._core.block_pool`.
"""

from __future__ import annotations

from numba import int8, int32, int64

from blis._core.jit import struct

NONE = -1
NEVER = -1

# --- at[] of Instance -------------------------------------------------------------------------------------
NOW = 0
CURSOR = 1  # next of `order` to become visible
BUDGET = 2  # tokens left in the step that is being scheduled
PREEMPTIONS = 3  # preemptions in the step that is being scheduled
FUTILE = 4  # preemptions since the last token
BLOCKED_REQUEST = 5  # head of the queue that found no room ...
BLOCKED_VERSION = 6  # ... when the pool was in this version ...
BLOCKED_BUDGET = 7  # ... and this budget was left
INSTANCE_SCALARS = 8

# --- at[] of BlockPool ------------------------------------------------------------------------------------
FREE = 0  # free blocks in all
FRONT = 1  # free blocks without content before the first node of the list
SPARE_NODE = 2  # head of the chain of discarded extra nodes
EXTRA_NODES = 3  # nodes behind the places of contents ever used
VERSION = 4  # moves whenever a request that did not fit might fit now
LEAST_FREE = 5
POOL_SCALARS = 6

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
OWNER = 0  # extents, which are in no ring: the preempted request that can find its blocks, or NONE
RING_COLUMNS = 2

# --- columns of BlockPool.contents ------------------------------------------------------------------------
PARENT = 0  # content id of the block before
COPY = 1  # node of the first published copy still alive, or NONE
CONTENT_COLUMNS = 2

# --- at[] of WaitingQueue ---------------------------------------------------------------------------------
LENGTH = 0
HEAD = 1
TAIL = 2
QUEUE_SCALARS = 3

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
RECORDER_SCALARS = 2


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
    caching: int64
    keyless_first: int64
    threshold_spares_lone: int64
    reserve_full_prompt: int64
    priority: int64  # vLLM's own priority policy: the least urgent running request is preempted
    ranked: int64  # the waiting queue goes by rank instead of first come first served
    last_prompt_token_is_decode: int64
    plain: int64  # never advance decoders in bulk: slow, same result
    logging: int64
    horizon_us: int64


@struct
class Requests:
    """One entry per request of the table."""

    order: int64[::1]  # requests by visible time; those refused are left out
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


@struct
class BlockPool:
    """KV blocks that are free or shared. Blocks private to a running request are a count in its slot."""

    at: int64[::1]
    nodes: int32[:, ::1]
    rings: int32[:, ::1]  # per node
    place_taken: int8[::1]  # whether the node with this number is in use; covers the places of contents
    contents: int32[:, ::1]
    extent: int32[::1]  # per request: node of the extent it left when it was preempted, or NONE
    extent_keyed: int32[::1]  # per request: blocks of that extent it could find again


@struct
class WaitingQueue:
    """Waiting requests: a linked list under fcfs, else a heap of ranks."""

    at: int64[::1]
    next: int32[::1]  # per request; fcfs
    heap: int64[::1]  # ranks
    rank: int64[::1]  # per request: its place among all, were they all waiting
    by_rank: int64[::1]
    victim_rank: int64[::1]  # its place by (priority, arrival) alone: ties are equal


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
    shared_nodes: int32[:, ::1]  # per slot and block
    scratch: int64[::1]  # slots


@struct
class Recorder:
    """Gaps between tokens as a weighted histogram, exact; and the step log, if it is on."""

    at: int64[::1]
    histogram: int64[::1]  # by gap in µs
    gap_log: int64[:, ::1]  # (gap in µs, count) beyond the histogram
    step_log: int64[:, ::1]  # see codes.LogRecord


@struct
class Instance:
    """One model server: its scheduler, its KV cache and its clock."""

    at: int64[::1]
    load: int64[::1]
    limits: Limits
    requests: Requests
    queue: WaitingQueue
    pool: BlockPool
    batch: Batch
    recorder: Recorder
