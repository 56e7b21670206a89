"""The pass over the running requests, as vLLM's V1 scheduler makes it: in order of admission, with preemption.

Decoders are served in bulk where that cannot make a difference: when the budget covers all of them, their
blocks are there, and nothing that stands between them in running order could be starved by serving them first.
Otherwise the running list is walked request by request. Both ways give the same result.

``flights`` are those of an instance that plans ahead; None: it does not, and what is only for these is not compiled.
"""

from __future__ import annotations

from numba import int64

from blis._core.allocation import blocks_for, give_back, publish_computed, publish_decoded, spare_blocks
from blis._core.batch import (
    clear_phase,
    close_slot,
    file_event,
    insert_by_admission,
    leave_decoders,
    remove_explicit,
    set_phase,
    withdraw_event,
)
from blis._core.block_pool import take
from blis._core.codes import NONE, LogRecord, RequestStatus
from blis._core.flight_state import PASSED
from blis._core.flights import forget_flights, note_leaving
from blis._core.jit import kernel
from blis._core.recorder import log
from blis._core.state import BUDGET, CAP, DECODERS, EXPLICIT, FIRST, FREE, LAST, NOW, PREEMPTIONS, PUBLISH, STEPS
from blis._core.waiting_queue import enqueue

PREEMPTED = int(LogRecord.PREEMPTED)
WAITING = int(RequestStatus.WAITING)


@kernel
def serve_running(instance, threshold, flights):
    """Pass over the running requests."""
    if may_serve_in_bulk(instance, threshold):
        serve_decoders(instance)
        batch = instance.batch
        i = int64(0)
        while i < batch.at[EXPLICIT] and instance.at[BUDGET] > 0:
            serve(instance, batch.explicit[i], threshold, flights)
            i += 1
    else:
        walk_running(instance, threshold, flights)


@kernel
def may_serve_in_bulk(instance, threshold):
    """Whether serving all decoders first gives what serving in running order would give."""
    limits, batch, pool = instance.limits, instance.batch, instance.pool
    at = batch.at
    tokens = at[DECODERS]
    due = batch.phase_count[at[STEPS] % len(batch.phase_count)]
    blocks = due * (1 + limits.prealloc_blocks)
    if limits.plain or tokens > instance.at[BUDGET] or blocks > pool.at[FREE]:
        return False
    publishes = False
    slot = int64(batch.calendar[at[STEPS] & (len(batch.calendar) - 1)])
    while slot != NONE:
        if batch.event[slot] == CAP:
            return False
        publishes = publishes or batch.event[slot] == PUBLISH
        slot = batch.calendar_next[slot]
    slot = at[LAST]
    i = at[EXPLICIT] - 1
    while i >= 0 and batch.explicit[i] == slot:
        slot = batch.prev[slot]
        i -= 1
    decoders_lead = i < 0
    if decoders_lead and (at[EXPLICIT] == 0 or not limits.priority):  # victims under fcfs come from the end
        return True
    if publishes:
        return False
    for i in range(at[EXPLICIT]):
        slot = batch.explicit[i]
        n = min(batch.known[slot] - batch.computed[slot], threshold)
        tokens += n
        need = blocks_for(batch.computed[slot] + n, limits.block_size) - batch.held[slot]
        if need > 0:
            blocks += need + limits.prealloc_blocks
    return tokens <= instance.at[BUDGET] and blocks <= pool.at[FREE]


@kernel
def serve_decoders(instance):
    """Give every decoder its token; `may_serve_in_bulk` has said that all goes well."""
    limits, batch = instance.limits, instance.batch
    at = batch.at
    instance.at[BUDGET] -= at[DECODERS]
    due = batch.phase_count[at[STEPS] % len(batch.phase_count)]
    take(instance.pool, due * (1 + limits.prealloc_blocks))
    count = int64(0)
    slot = int64(batch.calendar[at[STEPS] & (len(batch.calendar) - 1)])
    while slot != NONE:
        if batch.event[slot] == PUBLISH:
            insert_by_admission(batch.scratch, count, slot, batch.admission)
            count += 1
        slot = batch.calendar_next[slot]
    for i in range(count):
        publish_decoded(instance, batch.scratch[i])


@kernel
def walk_running(instance, threshold, flights):
    """Serve the running requests one by one in their order."""
    at, batch = instance.at, instance.batch
    following, is_decoder, phase, due = batch.next, batch.is_decoder, batch.phase, batch.due
    steps = batch.at[STEPS]
    needy = steps % len(batch.phase_count)
    slot = batch.at[FIRST]
    while slot != NONE and at[BUDGET] > 0:
        if is_decoder[slot] and phase[slot] != needy and due[slot] != steps:
            at[BUDGET] -= 1  # it needs no block and publishes none
        else:
            serve(instance, slot, threshold, flights)
            if flights is not None:
                slot = pass_over(instance, slot)
        slot = following[slot]  # still the one behind it if it has preempted itself
    while slot != NONE:  # no budget left
        if is_decoder[slot]:
            leave_out(instance, slot, flights)
        slot = following[slot]


@kernel
def pass_over(instance, slot):
    """Leave out as many behind a slot as vLLM loses from its sight (`preempt`); returns the last of them."""
    batch, flights_at = instance.batch, instance.flights.at
    while flights_at[PASSED] > 0:
        flights_at[PASSED] -= 1
        if batch.next[slot] != NONE:
            slot = batch.next[slot]
            if batch.is_decoder[slot]:
                leave_out(instance, slot, instance.flights)
    return slot


@kernel
def leave_out(instance, slot, flights):
    """A decoder gets no token in this step."""
    batch = instance.batch
    gap_class = int64(instance.requests.gap_class[batch.request[slot]])
    leave_decoders(batch, slot, gap_class, instance.limits, int64(0))
    insert_by_admission(batch.explicit, batch.at[EXPLICIT], slot, batch.admission)
    batch.at[EXPLICIT] += 1
    if flights is None:
        instance.requests.last_token_us[batch.request[slot]] = instance.at[NOW]
    else:
        note_leaving(instance, slot)


@kernel
def serve(instance, slot, threshold, flights):
    """Schedule a running request, preempting others, in the end itself, if it needs their blocks."""
    batch, limits = instance.batch, instance.limits
    n = int64(1)
    if not batch.is_decoder[slot]:
        n = min(batch.known[slot] - batch.computed[slot], min(threshold, instance.at[BUDGET]))
        if flights is not None and n == 0:  # its last token is in flight
            return
    while not grow(instance, slot, n, flights):
        victim = batch.at[LAST]
        if limits.priority:
            victim = least_urgent(instance)
        preempt(instance, victim, slot, flights)
        if victim == slot:
            return
    if not batch.is_decoder[slot]:
        batch.scheduled[slot] = n
    instance.at[BUDGET] -= n


@kernel
def least_urgent(instance):
    """The running request with the largest (priority, arrival), the first admitted among equals."""
    batch, rank = instance.batch, instance.queue.victim_rank
    victim = batch.at[FIRST]
    slot = batch.next[victim]
    while slot != NONE:
        if rank[batch.request[slot]] > rank[batch.request[victim]]:
            victim = slot
        slot = batch.next[slot]
    return victim


@kernel
def grow(instance, slot, n, flights):
    """Allocate for ``n`` more tokens of a running request and publish what they fill. False: no room."""
    batch, limits, pool = instance.batch, instance.limits, instance.pool
    if batch.is_decoder[slot]:
        return grow_decoder(instance, slot)
    tokens = batch.computed[slot] + n
    need = blocks_for(tokens, limits.block_size) - batch.held[slot]
    if need > 0:
        if need > pool.at[FREE]:
            return False
        need += spare_blocks(limits, pool.at[FREE] - need, batch.held[slot] + need)
        take(pool, need)
        batch.held[slot] += need
    if flights is not None:
        tokens = min(tokens, batch.known[slot] - flights.owed[slot])
    publish_computed(instance, slot, tokens)
    return True


@kernel
def grow_decoder(instance, slot):
    """`grow` for the one token of a decoder."""
    batch, limits, pool = instance.batch, instance.limits, instance.pool
    steps = batch.at[STEPS]
    if batch.phase[slot] == steps % len(batch.phase_count):
        if pool.at[FREE] < 1:
            return False
        computed = batch.computed[slot] + steps
        held = computed // limits.block_size + 1
        spare = spare_blocks(limits, pool.at[FREE] - 1, held)
        take(pool, 1 + spare)
        if spare < limits.prealloc_blocks:
            clear_phase(batch, slot)
            set_phase(batch, slot, computed, held + spare, limits)
            withdraw_event(batch, slot)
            file_event(batch, slot, int64(instance.requests.num_shared[batch.request[slot]]), limits)
    if batch.due[slot] == steps and batch.event[slot] == PUBLISH:
        publish_decoded(instance, slot)
    return True


@kernel
def preempt(instance, victim, current, flights):
    """Take all blocks from a running request and put it back among the waiting; ``current`` is being served."""
    at, batch, requests, limits = instance.at, instance.batch, instance.requests, instance.limits
    request = batch.request[victim]
    served = int64(batch.admission[victim] < batch.admission[current])
    if batch.is_decoder[victim]:
        leave_decoders(batch, victim, int64(requests.gap_class[request]), limits, served)
        if flights is None:
            requests.last_token_us[request] = at[NOW]
        else:
            note_leaving(instance, victim)
        if served:
            batch.scheduled[victim] = 1
    elif flights is None or not flights.leaves[victim]:
        remove_explicit(batch, victim)
    at[BUDGET] += batch.scheduled[victim]
    published, known = batch.computed[victim] + batch.scheduled[victim], batch.known[victim]
    if flights is not None:
        published, known = forget_flights(instance, victim, published, known)
        if batch.scheduled[victim] == 0 and batch.admission[victim] < batch.admission[current]:
            flights.at[PASSED] += 1  # it is taken out of a list that vLLM walks by numbers
    give_back(instance, victim, published, request)
    requests.produced_tokens[request] = known - requests.prompt_tokens[request]
    requests.num_preemptions[request] += 1
    requests.status[request] = WAITING
    close_slot(batch, victim)
    enqueue(instance.queue, request, int64(1), limits)
    at[PREEMPTIONS] += 1
    if limits.logging:
        log(instance.recorder, int64(PREEMPTED), request, at[NOW], int64(0))
