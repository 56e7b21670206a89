"""The running batch: slots, the running list, decoders and what will happen to them."""

from __future__ import annotations

from numba import int64

from blis._core.codes import NONE
from blis._core.jit import kernel
from blis._core.state import (
    ADMITTED,
    BASE_SUM,
    CAP,
    DECODERS,
    EXPLICIT,
    FINISH,
    FIRST,
    LAST,
    PUBLISH,
    RUNNING,
    STEPS,
)


@kernel
def open_slot(batch, request):
    """Give a request a slot at the end of the running list; it starts explicit."""
    at = batch.at
    slot = batch.free_slots[len(batch.free_slots) - 1 - at[RUNNING]]
    at[RUNNING] += 1
    at[ADMITTED] += 1
    batch.request[slot] = request
    batch.admission[slot] = at[ADMITTED]
    batch.is_decoder[slot] = 0
    batch.next[slot] = NONE
    batch.prev[slot] = at[LAST]
    if at[LAST] == NONE:
        at[FIRST] = slot
    else:
        batch.next[at[LAST]] = slot
    at[LAST] = slot
    batch.explicit[at[EXPLICIT]] = slot
    at[EXPLICIT] += 1
    return slot


@kernel
def close_slot(batch, slot):
    """Take a slot, neither decoder nor explicit any more, out of the running list."""
    at = batch.at
    before, after = batch.prev[slot], batch.next[slot]
    if before == NONE:
        at[FIRST] = after
    else:
        batch.next[before] = after
    if after == NONE:
        at[LAST] = before
    else:
        batch.prev[after] = before
    at[RUNNING] -= 1
    batch.free_slots[len(batch.free_slots) - 1 - at[RUNNING]] = slot


@kernel
def insert_by_admission(slots, count, slot, admission):
    """Insert into the first ``count`` slots of an array, which are in running order."""
    i = count
    while i > 0 and admission[slots[i - 1]] > admission[slot]:
        slots[i] = slots[i - 1]
        i -= 1
    slots[i] = slot


@kernel
def remove_explicit(batch, slot):
    """A slot is explicit no longer."""
    explicit = batch.explicit
    batch.at[EXPLICIT] -= 1
    last = batch.at[EXPLICIT]
    i = last
    moved = explicit[last]
    while moved != slot:
        i -= 1
        moved, explicit[i] = explicit[i], moved


@kernel
def file_event(batch, slot, num_shared, limits):
    """Enter the next thing that happens to a decoder into the calendar."""
    base = batch.computed[slot]
    due = batch.last_step[slot]
    event = int64(FINISH)
    if batch.shared[slot] < num_shared:
        full = (batch.shared[slot] + 1) * limits.block_size - 1 + limits.plans_ahead - base
        if full <= due:
            due = full
            event = int64(PUBLISH)
    if batch.cap_step[slot] != NONE and batch.cap_step[slot] <= due:
        due = batch.cap_step[slot]
        event = int64(CAP)
    batch.due[slot] = due
    batch.event[slot] = event
    bucket = due & (len(batch.calendar) - 1)
    first = int64(batch.calendar[bucket])
    batch.calendar[bucket] = slot
    batch.calendar_next[slot] = first
    batch.calendar_prev[slot] = NONE
    if first != NONE:
        batch.calendar_prev[first] = slot


@kernel
def withdraw_event(batch, slot):
    """Take a decoder out of the calendar."""
    before, after = batch.calendar_prev[slot], batch.calendar_next[slot]
    if before == NONE:
        batch.calendar[batch.due[slot] & (len(batch.calendar) - 1)] = after
    else:
        batch.calendar_next[before] = after
    if after != NONE:
        batch.calendar_prev[after] = before


@kernel
def set_phase(batch, slot, computed, held, limits):
    """Work out when a decoder that has computed so much and holds so many blocks needs its next ones.

    It takes ``1 + prealloc_blocks`` whenever its blocks are full, so once per period of as many blocks' tokens;
    fewer, once, where that would exceed its cap.
    """
    batch.cap_step[slot] = NONE
    batch.phase[slot] = NONE
    cap = limits.max_blocks_per_request
    if held >= cap:
        return
    period = len(batch.phase_count)
    step = batch.at[STEPS] + held * limits.block_size - computed
    batch.phase[slot] = step % period
    batch.phase_count[step % period] += 1
    whole = (cap - held) // (1 + limits.prealloc_blocks)
    if held + whole * (1 + limits.prealloc_blocks) < cap:
        cap_step = step + whole * period
        if cap_step <= batch.last_step[slot]:
            batch.cap_step[slot] = cap_step


@kernel
def clear_phase(batch, slot):
    """Undo `set_phase`."""
    if batch.phase[slot] != NONE:
        batch.phase_count[batch.phase[slot]] -= 1


@kernel
def become_decoder(batch, slot, total_tokens, num_shared, gap_class, limits):
    """An explicit slot that knows one token more than it has computed leaves itself to the calendar.

    ``total_tokens`` are prompt and output together. The caller has removed it from the explicit ones.
    """
    at = batch.at
    computed = batch.computed[slot]
    batch.is_decoder[slot] = 1
    batch.computed[slot] = computed - at[STEPS]
    batch.last_step[slot] = at[STEPS] + total_tokens - 2 - computed
    at[DECODERS] += 1
    batch.class_count[gap_class] += 1
    at[BASE_SUM] += batch.computed[slot]
    set_phase(batch, slot, computed, batch.held[slot], limits)
    file_event(batch, slot, num_shared, limits)


@kernel
def decoder_held(batch, slot, limits, served):
    """Blocks a decoder holds; ``served``: it has been given this step's token already."""
    if batch.phase[slot] == NONE:
        return limits.max_blocks_per_request
    period = len(batch.phase_count)
    steps_left = (batch.phase[slot] - batch.at[STEPS]) % period
    if served and steps_left == 0:
        steps_left = period
    return (batch.computed[slot] + batch.at[STEPS] + steps_left) // limits.block_size


@kernel
def leave_decoders(batch, slot, gap_class, limits, served):
    """A decoder's fields mean what they say again; it is neither decoder nor explicit."""
    at = batch.at
    batch.held[slot] = decoder_held(batch, slot, limits, served)
    withdraw_event(batch, slot)
    clear_phase(batch, slot)
    at[DECODERS] -= 1
    batch.class_count[gap_class] -= 1
    at[BASE_SUM] -= batch.computed[slot]
    batch.is_decoder[slot] = 0
    batch.computed[slot] += at[STEPS]
    batch.known[slot] = batch.computed[slot] + 1
    batch.scheduled[slot] = 0
