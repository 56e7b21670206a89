"""Waiting requests: first come first served with preempted ones in front, or by rank."""

from __future__ import annotations

from numba import int64

from blis._core.jit import kernel
from blis._core.state import HEAD, LENGTH, NONE, TAIL


@kernel
def head(queue, ranked):
    """The request to be admitted next; the queue must not be empty."""
    if ranked:
        return queue.by_rank[queue.heap[0]]
    return queue.at[HEAD]


@kernel
def enqueue(queue, request, in_front, ranked):
    """Add a request: behind all others, before them (preempted ones), or wherever its rank belongs."""
    at = queue.at
    if ranked:
        push_rank(queue.heap, at[LENGTH], queue.rank[request])
    elif at[LENGTH] == 0:
        queue.next[request] = NONE
        at[HEAD] = request
        at[TAIL] = request
    elif in_front:
        queue.next[request] = at[HEAD]
        at[HEAD] = request
    else:
        queue.next[request] = NONE
        queue.next[at[TAIL]] = request
        at[TAIL] = request
    at[LENGTH] += 1


@kernel
def dequeue(queue, ranked):
    """Remove the head."""
    at = queue.at
    at[LENGTH] -= 1
    if ranked:
        pop_rank(queue.heap, at[LENGTH])
    else:
        at[HEAD] = queue.next[at[HEAD]]


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
def pop_rank(heap, size):
    """Remove the least of ``size + 1`` ranks."""
    rank = heap[size]
    parent = int64(0)
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
