"""The router's own memory: to which instance it last sent which block of a prompt, the oldest forgotten first.

Contents with consecutive numbers, each of which follows the one before, form a *chain*. A prompt takes the first part
of each chain on its way, so what is known of a chain are segments: each begins where the one above it ends and is
older than that. A slot is a segment, or the blocks of one prompt that nobody else has. So the last to be sent is
found, and renewed, without touching every block.
"""

from __future__ import annotations

from numba import int64

from blis._core.block_pool import link_back, unlink
from blis._core.codes import NONE, ViewColumn
from blis._core.jit import kernel
from blis._core.state import ENTRIES, NEXT, SENTINEL, SLOTS, SPARE_SLOT

PREFIX_BLOCKS = int(ViewColumn.PREFIX_BLOCKS)

# columns of PrefixTable.slots behind NEXT and PREV, by which they form a ring as the nodes of a block pool do
CHAIN, FIRST, LAST, INSTANCE, ABOVE = 2, 3, 4, 5, 6


@kernel
def look_up(table, parent, chain, leaf, depth, columns):
    """Write down for each instance how deep the deepest of a prompt's ``depth`` blocks is that it was sent last."""
    columns[PREFIX_BLOCKS] = 0
    slots = table.slots
    missing = columns.shape[1]
    while depth > 0 and missing > 0:
        slot = int64(table.lowest[chain])
        while slot != SENTINEL:
            instance = slots[slot, INSTANCE]
            if slots[slot, FIRST] <= leaf and columns[PREFIX_BLOCKS, instance] == 0:
                columns[PREFIX_BLOCKS, instance] = depth - max(int64(0), leaf - slots[slot, LAST])
                missing -= 1
            slot = int64(slots[slot, ABOVE])
        first = int64(table.first[chain])
        depth -= leaf + 1 - first
        leaf, chain = int64(parent[first]), int64(table.before[chain])


@kernel
def remember(table, parent, chain, leaf, depth, private, instance):
    """A prompt went to an instance: ``private`` blocks that nobody else has, before them ``depth`` others.

    The first block becomes the newest entry, so that what is forgotten of a prompt is its end.
    """
    if private > 0:
        add_segment(table, int64(NONE), int64(SENTINEL), int64(1), private, instance)
    while depth > 0:
        first = int64(table.first[chain])
        add_segment(table, chain, outdate(table, chain, leaf), first, leaf, instance)
        depth -= leaf + 1 - first
        leaf, chain = int64(parent[first]), int64(table.before[chain])


@kernel
def outdate(table, chain, last):
    """Remove from a chain what is known of it up to a content; returns the segment below, or SENTINEL."""
    slots, below = table.slots, int64(SENTINEL)
    slot = int64(table.lowest[chain])
    while slot != SENTINEL:
        above = int64(slots[slot, ABOVE])
        table.at[ENTRIES] -= max(int64(0), min(int64(slots[slot, LAST]), last) + 1 - slots[slot, FIRST])
        slots[slot, FIRST] = max(int64(slots[slot, FIRST]), last + 1)
        if slots[slot, LAST] > last:
            below = slot
        else:
            discard(table, slot)
        slot = above
    return below


@kernel
def add_segment(table, chain, below, first, last, instance):
    """The newest segment, of a chain or of no chain."""
    at, slots = table.at, table.slots
    slot = at[SPARE_SLOT]
    if slot == NONE:
        slot = at[SLOTS]
        at[SLOTS] += 1
    else:
        at[SPARE_SLOT] = slots[slot, NEXT]
    slots[slot, CHAIN], slots[slot, INSTANCE], slots[slot, ABOVE] = chain, instance, SENTINEL
    slots[slot, FIRST], slots[slot, LAST] = first, last
    if below != SENTINEL:
        slots[below, ABOVE] = slot
    elif chain != NONE:
        table.lowest[chain] = slot
    link_back(slots, slot)
    at[ENTRIES] += last + 1 - first
    forget_oldest(table)


@kernel
def forget_oldest(table):
    """Drop what is too much: the ends of the oldest segments, none of which has another below it."""
    at, slots = table.at, table.slots
    surplus = at[ENTRIES] - table.most_entries
    while surplus > 0:
        slot = int64(slots[SENTINEL, NEXT])
        dropped = min(surplus, slots[slot, LAST] + 1 - slots[slot, FIRST])
        slots[slot, LAST] -= dropped
        at[ENTRIES] -= dropped
        surplus -= dropped
        if slots[slot, LAST] >= slots[slot, FIRST]:
            return
        if slots[slot, CHAIN] != NONE:
            table.lowest[slots[slot, CHAIN]] = slots[slot, ABOVE]
        discard(table, slot)


@kernel
def discard(table, slot):
    """Take a slot out of the ring."""
    unlink(table.slots, slot)
    table.slots[slot, NEXT] = table.at[SPARE_SLOT]
    table.at[SPARE_SLOT] = slot
