"""KV blocks: the free list, shared blocks with reference counts, eviction, prefix matching.

The free list is vLLM's free block queue, oldest first: blocks are taken from the front and released to the
back. Two ideas keep it short. Blocks of which nobody will ever ask again need no identity: neighbours merge
into one extent, a count. And a request that was preempted is the only one that can find its private blocks:
they too are one extent, which it owns. Release goes from a request's last block to its first, so eviction trims
an extent at the tail of the request's sequence and what survives is always a prefix of it.
"""

from __future__ import annotations

from numba import int64

from blis._core.codes import NONE
from blis._core.jit import kernel
from blis._core.state import (
    CONTENT,
    COPY_BEHIND,
    COPY_NEXT,
    COPY_PREV,
    EPOCH,
    EXTRA_NODES,
    FREE,
    FRONT,
    NEXT,
    OWNER,
    PREV,
    SENTINEL,
    SIZE,
    SPARE_NODE,
    VERSION,
)


@kernel
def new_node(pool, size, content, owner):
    """A node outside the free list.

    Each content has a place of its own, modulo their number, so that neighbours in content are neighbours in
    memory: that saves cache misses. If it is taken, and for extents, a node behind all places serves.
    """
    nodes, at = pool.nodes, pool.at
    places = len(pool.place_taken)
    node = content % places
    if content != NONE and not pool.place_taken[node]:
        pool.place_taken[node] = 1
    elif at[SPARE_NODE] != NONE:
        node = at[SPARE_NODE]
        at[SPARE_NODE] = nodes[node, NEXT]
    else:
        node = places + at[EXTRA_NODES]
        at[EXTRA_NODES] += 1
    nodes[node, SIZE] = size
    nodes[node, CONTENT] = content
    pool.rings[node, OWNER] = owner
    return node


@kernel
def discard_node(pool, node):
    """Forget a node that is in no list."""
    if node < len(pool.place_taken):
        pool.place_taken[node] = 0
    else:
        pool.nodes[node, NEXT] = pool.at[SPARE_NODE]
        pool.at[SPARE_NODE] = node


@kernel
def link_back(nodes, node):
    """Put a node at the back of the free list."""
    last = nodes[SENTINEL, PREV]
    nodes[last, NEXT] = node
    nodes[node, PREV] = last
    nodes[node, NEXT] = SENTINEL
    nodes[SENTINEL, PREV] = node


@kernel
def unlink(nodes, node):
    """Take a node out of the free list."""
    before, after = nodes[node, PREV], nodes[node, NEXT]
    nodes[before, NEXT] = after
    nodes[after, PREV] = before


@kernel
def take(pool, count):
    """Take ``count`` free blocks from the front of the list; there must be as many. Evicts what they held."""
    nodes, at = pool.nodes, pool.at
    at[FREE] -= count
    if count <= at[FRONT]:
        at[FRONT] -= count
        return
    count -= at[FRONT]
    at[FRONT] = 0
    while count > 0:
        node = int64(nodes[SENTINEL, NEXT])
        if nodes[node, CONTENT] != NONE:
            forget_copy(pool, node)
            count -= 1
        elif nodes[node, SIZE] > count:
            nodes[node, SIZE] -= count
            return
        else:
            count -= nodes[node, SIZE]
            if pool.rings[node, OWNER] != NONE:
                pool.extent[pool.rings[node, OWNER]] = NONE
        unlink(nodes, node)
        discard_node(pool, node)


@kernel
def forget_copy(pool, node):
    """Remove an evicted block from the ring of blocks with its content; the next oldest serves from now on."""
    rings = pool.rings
    content = int64(pool.nodes[node, CONTENT])
    after, before = int64(rings[node, COPY_NEXT]), rings[node, COPY_PREV]
    rings[before, COPY_NEXT] = after
    rings[after, COPY_PREV] = before
    if find_copy(pool, content) != node:
        return
    if after == node:
        note_change(pool, content, int64(1))
        after = int64(SENTINEL)
    replace_copy(pool, content, node, after)


@kernel
def find_copy(pool, content):
    """The node of the first copy of a content that is still alive, or SENTINEL."""
    node = int64(pool.copies[content & (len(pool.copies) - 1)])
    while node != SENTINEL and pool.nodes[node, CONTENT] != content:
        node = int64(pool.rings[node, COPY_BEHIND])
    return node


@kernel
def replace_copy(pool, content, node, other):
    """Another copy, or SENTINEL, takes a node's place among those that can be found."""
    rings, bucket = pool.rings, content & (len(pool.copies) - 1)
    behind = int64(rings[node, COPY_BEHIND])
    if other != SENTINEL:
        rings[other, COPY_BEHIND] = behind
        behind = other
    before = int64(pool.copies[bucket])
    if before == node:
        pool.copies[bucket] = behind
        return
    while rings[before, COPY_BEHIND] != node:
        before = int64(rings[before, COPY_BEHIND])
    rings[before, COPY_BEHIND] = behind


@kernel
def note_change(pool, content, was_cached):
    """A content comes or goes: keep what was before, once per epoch, for a router that looks later or never."""
    changed = pool.changed
    if len(changed) > 0 and changed[content] >> 1 != pool.at[EPOCH]:
        changed[content] = 2 * pool.at[EPOCH] + was_cached


@kernel
def was_cached(pool, content):
    """Whether a content was in the cache when the epoch began; where changes are not kept, whether it is."""
    changed = pool.changed
    if len(changed) > 0 and changed[content] >> 1 == pool.at[EPOCH]:
        return changed[content] & 1 == 1
    return find_copy(pool, content) != SENTINEL


@kernel
def publish(pool, content):
    """A block with shared content has become full: others can find it from now on. Returns its node."""
    rings = pool.rings
    node = new_node(pool, int64(1), content, int64(NONE))
    first = find_copy(pool, content)
    if first == SENTINEL:
        note_change(pool, content, int64(0))
        bucket = content & (len(pool.copies) - 1)
        rings[node, COPY_BEHIND] = pool.copies[bucket]
        pool.copies[bucket] = node
        rings[node, COPY_NEXT] = node
        rings[node, COPY_PREV] = node
    else:
        last = rings[first, COPY_PREV]
        rings[last, COPY_NEXT] = node
        rings[node, COPY_PREV] = last
        rings[node, COPY_NEXT] = first
        rings[first, COPY_PREV] = node
    pool.at[VERSION] += 1
    return node


@kernel
def match_prefix(pool, leaf, num_shared, most, row):
    """Longest run of cached shared blocks of a request from its first on, at most ``most``.

    Writes their nodes to ``row``; returns how many there are and how many of those are in the free list.
    Whenever a block is cached so is the one before it (it is released later and touched no less often), so
    the search goes from the last block towards the first and ends at the first hit.
    """
    nodes, parent = pool.nodes, pool.parent
    content = leaf
    depth = num_shared
    while depth > most:
        content = int64(parent[content])
        depth -= 1
    while depth > 0 and find_copy(pool, content) == SENTINEL:
        content = int64(parent[content])
        depth -= 1
    hits = depth
    idle = int64(0)
    while depth > 0:
        depth -= 1
        node = find_copy(pool, content)
        row[depth] = node
        if nodes[node, SIZE] == 0:
            idle += 1
        content = int64(parent[content])
    return hits, idle


@kernel
def touch(pool, row, count):
    """Reference the first ``count`` blocks of a row; those that were free leave the list."""
    nodes = pool.nodes
    taken = int64(0)
    for i in range(count):
        node = int64(row[i])
        references = nodes[node, SIZE]
        if references == 0:
            unlink(nodes, node)
            taken += 1
        nodes[node, SIZE] = references + 1
    pool.at[FREE] -= taken


@kernel
def publish_up_to(pool, leaf, num_shared, row, start, stop):
    """Publish blocks ``start`` to ``stop - 1`` of a request whose shared content ends in ``leaf``."""
    content = leaf
    for _ in range(stop, num_shared):
        content = int64(pool.parent[content])
    for i in range(stop - 1, start - 1, -1):
        row[i] = publish(pool, content)
        content = int64(pool.parent[content])


@kernel
def release(pool, row, num_shared, keyed, keyless, owner, keyless_first):
    """Release a request's blocks, last to first: keyless, then keyed private ones, then shared ones.

    ``owner`` is the request if it may come back for the keyed ones, else NONE.
    """
    nodes, at = pool.nodes, pool.at
    at[VERSION] += 1
    if keyless_first:
        at[FREE] += keyless
        at[FRONT] += keyless
        keyless = int64(0)
    if keyed + keyless > 0:
        release_private(pool, keyed, keyless, owner)
    at[FREE] += release_shared(nodes, row, num_shared)


@kernel
def release_shared(nodes, row, count):
    """Drop the references to ``count`` shared blocks, last to first; returns how many became free."""
    freed = int64(0)
    last = int64(nodes[SENTINEL, PREV])
    for i in range(count - 1, -1, -1):
        node = int64(row[i])
        references = nodes[node, SIZE] - 1
        nodes[node, SIZE] = references
        if references == 0:
            nodes[last, NEXT] = node
            nodes[node, PREV] = last
            last = node
            freed += 1
    nodes[last, NEXT] = SENTINEL
    nodes[SENTINEL, PREV] = last
    return freed


@kernel
def release_private(pool, keyed, keyless, owner):
    """Append an extent to the free list."""
    nodes = pool.nodes
    pool.at[FREE] += keyed + keyless
    last = int64(nodes[SENTINEL, PREV])
    if owner == NONE or keyed == 0:
        if last != SENTINEL and nodes[last, CONTENT] == NONE and pool.rings[last, OWNER] == NONE:
            nodes[last, SIZE] += keyed + keyless
        else:
            link_back(nodes, new_node(pool, keyed + keyless, int64(NONE), int64(NONE)))
        return
    node = new_node(pool, keyed + keyless, int64(NONE), owner)
    link_back(nodes, node)
    pool.extent[owner] = node
    pool.extent_keyed[owner] = keyed


@kernel
def own_blocks(pool, request, most):
    """How many private blocks a preempted request would find again, at most ``most``."""
    node = pool.extent[request]
    if node == NONE:
        return int64(0)
    return max(int64(0), min(int64(pool.nodes[node, SIZE]), int64(pool.extent_keyed[request]), most))


@kernel
def reclaim(pool, request, count):
    """Give a preempted request ``count`` of its blocks back; the rest of its extent is nobody's."""
    node = int64(pool.extent[request])
    if node == NONE:
        return
    nodes = pool.nodes
    pool.extent[request] = NONE
    pool.at[FREE] -= count
    nodes[node, SIZE] -= count
    pool.rings[node, OWNER] = NONE
    if nodes[node, SIZE] == 0:
        unlink(nodes, node)
        discard_node(pool, node)
