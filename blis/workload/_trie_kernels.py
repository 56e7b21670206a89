"""Kernels of `blis.workload._trie`: an exact trie over sequences of fixed-size units, kept in a hash table.

A node stands for one unit behind one particular path of units. Only the node at which a sequence leaves
what was known before is made for it: the rest of the sequence stays folded up in that node (its owner's
*tail*) until another sequence gets there and goes on. So nodes number the sequences plus the units that
are really met twice, not all units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis.workload._jit import kernel

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]
Int = int | np.int64

_MASK = (1 << 32) - 1


@kernel
def unit_hash(parent_hash: Int, words: SmallInts, position: Int, width: Int) -> Int:
    """A 32-bit hash of a path: that of its last unit, chained to that of the path before.

    FNV-1a on words with a shift to carry high bits down; all in int64 and without overflow.
    """
    value = parent_hash
    for i in range(width):
        value = ((value ^ np.int64(words[position + i])) * 16777619) & _MASK
        value ^= value >> 15
    return value


@kernel
def find_slot(
    table: SmallInts,
    node_hash: Ints,
    node_parent: SmallInts,
    node_position: Ints,
    words: SmallInts,
    width: Int,
    parent: Int,
    position: Int,
    value: Int,
) -> Int:
    """The slot of the child of ``parent`` with the unit at ``position``, or the empty one it would get."""
    mask = len(table) - 1
    slot = value & mask
    while table[slot] >= 0:
        node = np.int64(table[slot])
        if node_hash[node] == value and node_parent[node] == parent:
            known = node_position[node]
            same = 0
            while same < width and words[known + same] == words[position + same]:
                same += 1
            if same == width:
                break
        slot = (slot + 1) & mask
    return slot


@kernel
def insert_sequences(
    words: SmallInts,
    starts: Ints,
    lengths: Ints,
    width: Int,
    first: int,
    num_nodes: int,
    owner: Ints,
    matched: Ints,
    table: SmallInts,
    node_hash: Ints,
    node_parent: SmallInts,
    node_position: Ints,
    node_owner: SmallInts,
    node_has_tail: NDArray[np.bool_],
) -> tuple[int, int]:
    """Insert sequences from ``first`` on, until all are in or the next one might not find room.

    Returns:
        The next sequence to insert, and the number of nodes.
    """
    for r in range(first, len(starts)):
        if num_nodes + lengths[r] + 1 > len(node_parent):
            return r, num_nodes
        node = np.int64(-1)
        node_value: Int = np.int64(0)
        depth = np.int64(0)
        while depth < lengths[r]:
            if node >= 0 and node_has_tail[node]:
                sequence = np.int64(node_owner[node])  # unfold one unit of the tail
                node_has_tail[node] = False
            else:
                sequence = np.int64(r)
            position = starts[sequence] + depth * width
            value = unit_hash(node_value, words, position, width)
            slot = find_slot(table, node_hash, node_parent, node_position, words, width, node, position, value)
            child = np.int64(table[slot])
            if child >= 0:
                node = child
                node_value = value
                depth += 1
                continue
            table[slot] = num_nodes
            node_hash[num_nodes] = value
            node_parent[num_nodes] = node
            node_position[num_nodes] = position
            node_owner[num_nodes] = sequence
            node_has_tail[num_nodes] = depth + 1 < lengths[sequence]
            num_nodes += 1
            if sequence == r:
                break
        matched[r] = depth
        owner[r] = node_owner[node] if node >= 0 else -1
    return len(starts), num_nodes


@kernel
def rehash(table: SmallInts, node_hash: Ints, num_nodes: Int) -> None:
    """Enter all nodes into an empty table."""
    mask = len(table) - 1
    for node in range(num_nodes):
        slot = node_hash[node] & mask
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = node
