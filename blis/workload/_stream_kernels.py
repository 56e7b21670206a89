"""Kernels of `blis.workload.content`: which blocks of token streams are shared, and their identities.

Streams are given in blocks: stream s has its first ``fork[s]`` blocks from its parent and the others are
its own. A parent comes before its children; a stream without parent has ``fork`` 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis.workload._jit import kernel

Ints = NDArray[np.int64]


@kernel
def note_depth(deepest: Ints, second: Ints, s: int, depth: int) -> None:
    """Keep the two largest depths to which anybody uses stream s."""
    if depth > deepest[s]:
        second[s] = deepest[s]
        deepest[s] = depth
    elif depth > second[s]:
        second[s] = depth


@kernel
def shared_lengths(stream: Ints, depth: Ints, parent: Ints, fork: Ints, deepest: Ints, shared: Ints) -> None:
    """Find how many leading blocks of each stream have at least two users.

    The second largest depth to which a stream is used, by its requests and by its children's up to where
    they fork, is how far its blocks are shared; those before its own fork are shared as in its parent.

    Args:
        stream: (n,) the stream of each request, or -1.
        depth: (n,) full blocks of each request.
        parent: (s,) the stream each stream forks from, or -1.
        fork: (s,) leading blocks that are the parent's.
        deepest: (s,) zeros; scratch.
        shared: (s,) zeros; gets the result.
    """
    for r in range(len(stream)):
        if stream[r] >= 0:
            note_depth(deepest, shared, stream[r], depth[r])
    for s in range(len(parent) - 1, -1, -1):
        if parent[s] >= 0:
            note_depth(deepest, shared, parent[s], min(deepest[s], fork[s]))
            note_depth(deepest, shared, parent[s], min(shared[s], fork[s]))
    for s in range(len(parent)):
        if parent[s] >= 0:
            shared[s] = max(shared[s], min(fork[s], shared[parent[s]]))


@kernel
def number_blocks(
    stream: Ints,
    depth: Ints,
    parent: Ints,
    fork: Ints,
    shared: Ints,
    first_id: Ints,
    below: Ints,
    num_shared: NDArray[np.int32],
    leaf: NDArray[np.int32],
    block_parent: NDArray[np.int32],
) -> None:
    """Give shared blocks their identities: those of one stream are consecutive, parents come first.

    Args:
        stream: (n,) the stream of each request, or -1.
        depth: (n,) full blocks of each request.
        parent: (s,) the stream each stream forks from, or -1.
        fork: (s,) leading blocks that are the parent's.
        shared: (s,) leading blocks that have at least two users.
        first_id: (s,) identity of the first shared block of each stream's own.
        below: (s,) scratch: the stream that owns the block before each stream's own.
        num_shared: (n,) gets how many leading blocks of each request are shared.
        leaf: (n,) gets the identity of the last of them, or -1.
        block_parent: (ids,) gets the identity of the block before, or -1.
    """
    for s in range(len(parent)):
        below[s] = parent[s]
        last = fork[s] - 1
        if last >= 0:
            while fork[below[s]] > last:
                below[s] = below[below[s]]
        for i in range(shared[s] - fork[s]):
            before = first_id[s] + i - 1
            if i == 0:
                before = first_id[below[s]] + last - fork[below[s]] if last >= 0 else -1
            block_parent[first_id[s] + i] = before
    for r in range(len(stream)):
        owner = stream[r]
        if owner < 0:
            continue
        num_shared[r] = min(depth[r], shared[owner])
        last = np.int64(num_shared[r]) - 1
        if last >= 0:
            while fork[owner] > last:
                owner = below[owner]
            leaf[r] = first_id[owner] + last - fork[owner]
