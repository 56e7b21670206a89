"""Waiting requests: first come first served with preempted ones in front, by rank, or by a dynamic priority."""

from __future__ import annotations

from numba import int64

from blis._core.codes import NONE
from blis._core.jit import kernel
from blis._core.state import HEAD, LENGTH, RANK_BITS, TAIL

RANK_MASK = 2**RANK_BITS - 1


@kernel
def head(queue, limits):
    """The request to be admitted next; the queue must not be empty."""
    if limits.dynamic:
        return queue.by_rank[queue.heap[queue.at[LENGTH] - 1] & RANK_MASK]
    if limits.ranked:
        return queue.by_rank[queue.heap[0] & RANK_MASK]
    return queue.at[HEAD]


@kernel
def enqueue(queue, request, in_front, limits):
    """Add a request: behind all others, before them (preempted ones), or wherever its rank belongs."""
    at = queue.at
    if limits.dynamic:
        queue.heap[at[LENGTH]] = queue.rank[request]
    elif limits.ranked:
        push_rank(queue.heap, at[LENGTH], queue.rank[request])
    elif at[LENGTH] == 0:
        queue.behind[request] = NONE
        at[HEAD] = request
        at[TAIL] = request
    elif in_front:
        queue.behind[request] = at[HEAD]
        at[HEAD] = request
    else:
        queue.behind[request] = NONE
        queue.behind[at[TAIL]] = request
        at[TAIL] = request
    at[LENGTH] += 1


@kernel
def dequeue(queue, limits):
    """Remove the head."""
    at = queue.at
    at[LENGTH] -= 1
    if limits.dynamic:
        return
    if limits.ranked:
        pop_rank(queue.heap, at[LENGTH], int64(0))
    else:
        at[HEAD] = queue.behind[at[HEAD]]


@kernel
def push_rank(heap, size, rank):
    """Add to a binary min-heap of ``size`` ranks."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if heap[parent] <= rank:
            break
        heap[child] = heap[parent]
        child = parent
    heap[child] = rank


@kernel
def pop_rank(heap, size, parent):
    """Remove what is in a place of a heap of ``size + 1`` ranks; returns where the last of them is now.

    If that is the place itself it may belong higher up.
    """
    rank = heap[size]
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= rank:
            break
        heap[parent] = heap[child]
        parent = child
    heap[parent] = rank
    return parent


@kernel
def remove(queue, request, limits):
    """Remove a request wherever it is."""
    at = queue.at
    if not limits.ranked:
        remove_linked(queue, request)
        return
    place = int64(0)
    while queue.heap[place] != queue.rank[request]:
        place += 1
    at[LENGTH] -= 1
    if limits.dynamic:
        for i in range(place, at[LENGTH]):
            queue.heap[i] = queue.heap[i + 1]
    elif place < at[LENGTH]:
        place = pop_rank(queue.heap, at[LENGTH], place)
        push_rank(queue.heap, place, queue.heap[place])


@kernel
def remove_linked(queue, request):
    """`remove` where the first come is served first."""
    at = queue.at
    at[LENGTH] -= 1
    if at[HEAD] == request:
        at[HEAD] = queue.behind[request]
        return
    before = at[HEAD]
    while queue.behind[before] != request:
        before = int64(queue.behind[before])
    queue.behind[before] = queue.behind[request]
    if at[TAIL] == request:
        at[TAIL] = before


@kernel
def sort_upwards(ranks, keys, count):
    """Sort the first ``count`` ranks by their keys, upwards; among equals the least rank comes last.

    By insertion: the order of one step is nearly that of the step before.
    """
    for i in range(1, count):
        rank, key = ranks[i], keys[i]
        j = i
        while j > 0 and (keys[j - 1] > key or (keys[j - 1] == key and ranks[j - 1] < rank)):
            ranks[j], keys[j] = ranks[j - 1], keys[j - 1]
            j -= 1
        ranks[j], keys[j] = rank, key
