"""Which sequences begin alike: an exact trie over their units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.workload.requests import Ints

_NODE_DTYPES = (np.int64, np.int32, np.int64, np.int32, np.bool_)  # hash, parent, position, owner, has tail


def common_prefixes(words: NDArray[np.int32], starts: Ints, lengths: Ints, width: int) -> tuple[Ints, Ints]:
    """Find for each sequence how much of its beginning an earlier one has.

    A sequence is made of units of ``width`` words. Units are compared word by word; hashes only speed it up.

    Args:
        words: all words.
        starts: (n,) where in ``words`` each sequence starts.
        lengths: (n,) units per sequence.
        width: words per unit, >= 1.

    Returns:
        ``owner`` (n,): the first sequence that had the longest common beginning, -1 if there is none;
        ``matched`` (n,): length of that beginning in units.
    """
    from blis.workload import _trie_kernels as kernels

    count = len(starts)
    words = np.ascontiguousarray(words, dtype=np.int32)
    starts = np.ascontiguousarray(starts, dtype=np.int64)
    lengths = np.ascontiguousarray(lengths, dtype=np.int64)
    owner = np.empty(count, dtype=np.int64)
    matched = np.empty(count, dtype=np.int64)
    nodes: list[NDArray[Any]] = [np.empty(0, dtype) for dtype in _NODE_DTYPES]
    done = num_nodes = 0
    while done < count:
        capacity = 2 * (num_nodes + int(lengths[done]) + count)
        nodes = [_grown(column, num_nodes, capacity) for column in nodes]
        table = np.full(1 << (2 * capacity).bit_length(), -1, dtype=np.int32)
        kernels.rehash(table, nodes[0], num_nodes)
        done, num_nodes = kernels.insert_sequences(
            words, starts, lengths, width, done, num_nodes, owner, matched, table, *nodes
        )
    return owner, matched


def _grown(column: NDArray[Any], used: int, capacity: int) -> NDArray[Any]:
    larger = np.empty(capacity, column.dtype)
    larger[:used] = column[:used]
    return larger
