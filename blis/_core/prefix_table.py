"""The router's own memory: to which instance it last sent which block of a prompt, the oldest forgotten first."""

from __future__ import annotations

from numba import int64

from blis._core.block_pool import link_back, unlink
from blis._core.codes import NONE, ViewColumn
from blis._core.jit import kernel
from blis._core.state import ENTRIES, NEXT, SENTINEL, SLOTS, SPARE_SLOT

PREFIX_BLOCKS = int(ViewColumn.PREFIX_BLOCKS)

# columns of PrefixTable.slots behind NEXT and PREV, by which they form a ring as the nodes of a block pool do
CONTENT, BLOCKS, INSTANCE = 2, 3, 4


@kernel
def look_up(table, parent, leaf, depth, columns):
    """Write down for each instance how deep the deepest of a prompt's ``depth`` blocks is that it was sent last."""
    columns[PREFIX_BLOCKS] = 0
    missing = columns.shape[1]
    content = leaf
    while depth > 0 and missing > 0:
        slot = table.slot_of[content]
        if slot != SENTINEL:
            instance = table.slots[slot, INSTANCE]
            if columns[PREFIX_BLOCKS, instance] == 0:
                columns[PREFIX_BLOCKS, instance] = depth
                missing -= 1
        content = int64(parent[content])
        depth -= 1


@kernel
def remember(table, parent, leaf, depth, private, instance):
    """A prompt went to an instance: ``private`` blocks that nobody else has, before them ``depth`` others.

    The first block becomes the newest entry, so that what is forgotten of a prompt is its end.
    """
    if private > 0:
        slot = new_slot(table, int64(NONE), private)
        table.slots[slot, INSTANCE] = instance
        link_back(table.slots, slot)
        table.at[ENTRIES] += private
    content = leaf
    while depth > 0:
        slot = int64(table.slot_of[content])
        if slot == SENTINEL:
            slot = new_slot(table, content, int64(1))
            table.slot_of[content] = slot
            table.at[ENTRIES] += 1
        else:
            unlink(table.slots, slot)
        table.slots[slot, INSTANCE] = instance
        link_back(table.slots, slot)
        forget_oldest(table)
        content = int64(parent[content])
        depth -= 1
    forget_oldest(table)


@kernel
def new_slot(table, content, blocks):
    """A slot outside the ring."""
    at, slots = table.at, table.slots
    slot = at[SPARE_SLOT]
    if slot == NONE:
        slot = at[SLOTS]
        at[SLOTS] += 1
    else:
        at[SPARE_SLOT] = slots[slot, NEXT]
    slots[slot, CONTENT] = content
    slots[slot, BLOCKS] = blocks
    return slot


@kernel
def forget_oldest(table):
    """Drop what is too much."""
    at, slots = table.at, table.slots
    surplus = at[ENTRIES] - table.most_entries
    while surplus > 0:
        slot = int64(slots[SENTINEL, NEXT])
        dropped = min(surplus, int64(slots[slot, BLOCKS]))
        slots[slot, BLOCKS] -= dropped
        at[ENTRIES] -= dropped
        surplus -= dropped
        if slots[slot, BLOCKS] > 0:
            return
        if slots[slot, CONTENT] != NONE:
            table.slot_of[slots[slot, CONTENT]] = SENTINEL
        unlink(slots, slot)
        slots[slot, NEXT] = at[SPARE_SLOT]
        at[SPARE_SLOT] = slot
