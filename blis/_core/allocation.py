"""What running and waiting requests do alike with KV blocks: reckon, publish, give back."""

from __future__ import annotations

from numba import int64

from blis._core.batch import file_event, withdraw_event
from blis._core.block_pool import publish_up_to, release
from blis._core.jit import kernel


@kernel
def blocks_for(tokens, block_size):
    """Blocks that hold so many tokens."""
    return (tokens + block_size - 1) // block_size


@kernel
def spare_blocks(limits, free, held):
    """Blocks vLLM up to 0.8.4 takes beyond need."""
    return min(limits.prealloc_blocks, min(free, limits.max_blocks_per_request - held))


@kernel
def publish_computed(instance, slot, tokens):
    """Publish the shared blocks that are full once ``tokens`` tokens of an explicit slot are computed."""
    batch, requests = instance.batch, instance.requests
    request = batch.request[slot]
    num_shared = int64(requests.num_shared[request])
    stop = min(tokens // instance.limits.block_size, num_shared)
    if stop > batch.shared[slot]:
        row = batch.shared_nodes[slot]
        publish_up_to(instance.pool, int64(requests.leaf[request]), num_shared, row, batch.shared[slot], stop)
        batch.shared[slot] = stop


@kernel
def publish_decoded(instance, slot):
    """A decoder's token fills a shared block."""
    batch, requests = instance.batch, instance.requests
    request = batch.request[slot]
    num_shared = int64(requests.num_shared[request])
    stop = batch.shared[slot] + 1
    row = batch.shared_nodes[slot]
    publish_up_to(instance.pool, int64(requests.leaf[request]), num_shared, row, batch.shared[slot], stop)
    batch.shared[slot] = stop
    withdraw_event(batch, slot)
    file_event(batch, slot, num_shared, instance.limits)


@kernel
def give_back(instance, slot, published_tokens, owner):
    """Release the blocks of a slot; those filled by ``published_tokens`` tokens have a content key."""
    batch, limits = instance.batch, instance.limits
    shared = batch.shared[slot]
    keyed = int64(0)
    if limits.caching:
        keyed = published_tokens // limits.block_size - shared
    keyless = batch.held[slot] - shared - keyed
    release(instance.pool, batch.shared_nodes[slot], shared, keyed, keyless, owner, limits.keyless_first)
