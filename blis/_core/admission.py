"""The pass over the waiting requests: the head is admitted as long as its first chunk fits."""

from __future__ import annotations

from numba import int64

from blis._core.allocation import blocks_for, publish_computed, spare_blocks
from blis._core.batch import open_slot
from blis._core.block_pool import match_prefix, own_blocks, reclaim, take, touch
from blis._core.codes import NEVER, LogRecord, RequestStatus
from blis._core.jit import kernel
from blis._core.recorder import log
from blis._core.state import (
    BLOCKED_BUDGET,
    BLOCKED_REQUEST,
    BLOCKED_VERSION,
    BUDGET,
    CACHED_SUM,
    FREE,
    KNOWN_SUM,
    LENGTH,
    NOW,
    RUNNING,
    VERSION,
)
from blis._core.waiting_queue import dequeue, head

ADMITTED = int(LogRecord.ADMITTED)
IN_BATCH = int(RequestStatus.RUNNING)


@kernel
def admit_waiting(instance, threshold):
    """Pass over the waiting requests: admit the head as long as its first chunk fits."""
    at, batch, queue, limits = instance.at, instance.batch, instance.queue, instance.limits
    while queue.at[LENGTH] > 0 and at[BUDGET] > 0 and batch.at[RUNNING] < limits.max_running:
        request = int64(head(queue, limits))
        if is_blocked(instance, request, at[BUDGET]):
            return
        if not admit(instance, request, threshold):
            at[BLOCKED_REQUEST] = request
            at[BLOCKED_VERSION] = instance.pool.at[VERSION]
            at[BLOCKED_BUDGET] = at[BUDGET]
            return
        dequeue(queue, limits)


@kernel
def is_blocked(instance, request, budget):
    """Whether a request is known not to fit: nothing was released or published since it did not.

    Blocks taken meanwhile can only make it worse, and so does a larger budget: its first chunk grows.
    """
    at = instance.at
    return (
        at[BLOCKED_REQUEST] == request
        and at[BLOCKED_VERSION] == instance.pool.at[VERSION]
        and budget >= at[BLOCKED_BUDGET]
    )


@kernel
def admit(instance, request, threshold):
    """Give a waiting request a slot and its first chunk. False: no room, nothing has changed."""
    at, batch, requests, limits, pool = instance.at, instance.batch, instance.requests, instance.limits, instance.pool
    block_size = limits.block_size
    known = requests.prompt_tokens[request] + requests.produced_tokens[request]
    num_shared = int64(requests.num_shared[request])
    leaf = int64(requests.leaf[request])
    most = (known - 1) // block_size  # at least one token must be computed
    row = batch.shared_nodes[batch.free_slots[len(batch.free_slots) - 1 - batch.at[RUNNING]]]
    hits, idle = match_prefix(pool, leaf, num_shared, min(num_shared, most), row)
    own = int64(0)
    if hits == num_shared:
        own = own_blocks(pool, request, most - hits)
    cached = (hits + own) * block_size
    n = min(known - cached, min(threshold, at[BUDGET]))
    need = blocks_for(cached + n, block_size) - hits - own
    must_fit = need
    if limits.reserve_full_prompt:
        must_fit = blocks_for(known, block_size) - hits - own
    if batch.at[RUNNING] > 0:
        must_fit += limits.watermark_blocks
    if must_fit > pool.at[FREE] - idle - own:
        return False

    touch(pool, row, hits)
    reclaim(pool, request, own)
    if need > 0:
        need += spare_blocks(limits, pool.at[FREE] - need, hits + own + need)
        take(pool, need)
    slot = open_slot(batch, request)
    batch.computed[slot] = cached
    batch.known[slot] = known
    batch.held[slot] = hits + own + need
    batch.shared[slot] = hits
    batch.scheduled[slot] = n
    publish_computed(instance, slot, cached + n)
    at[BUDGET] -= n
    at[CACHED_SUM] += cached
    at[KNOWN_SUM] += known
    if requests.first_scheduled_us[request] == NEVER:
        requests.first_scheduled_us[request] = at[NOW]
        requests.cached_tokens[request] = cached
    requests.status[request] = IN_BATCH
    if limits.logging:
        log(instance.recorder, int64(ADMITTED), request, cached, int64(requests.num_preemptions[request] > 0))
    return True
