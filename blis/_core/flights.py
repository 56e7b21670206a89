"""Plans in flight: what they promise, and what becomes of it when they are settled.

Decoders stay what they are (`blis._core.state`): of a plan in flight only their number is kept. Whoever else gets a
token, and everybody who gets the last one, has a row of its own. A slot whose last token is in flight *leaves*: it is
neither decoder nor explicit, and keeps its blocks. If a stop token ends it, which nobody foresees, it is explicit, and
is served once more in vain.
"""

from __future__ import annotations

from numba import int64

from blis._core.allocation import give_back, publish_computed
from blis._core.batch import become_decoder, close_slot, insert_by_admission, leave_decoders, remove_explicit
from blis._core.codes import NEVER, NONE, LogRecord, RequestStatus
from blis._core.flight_state import (
    LAST_SEEN,
    NOTICE,
    OLDEST,
    PLAN_DECODERS,
    PLAN_LEAVERS,
    PLAN_SAMPLERS,
    PLAN_STEP,
    WHEN,
    WHERE,
    WHO,
)
from blis._core.jit import kernel
from blis._core.recorder import log, record_gap, record_gaps
from blis._core.state import DECODERS, ENDED, EXPLICIT, FAR_FUTURE, FINISHED, FUTILE, IN_FLIGHT, LEFT_WAITING, STEPS
from blis._core.waiting_queue import remove

LOG_FINISHED = int(LogRecord.FINISHED)
COMPLETED = int(RequestStatus.COMPLETED)
WAITING = int(RequestStatus.WAITING)


@kernel
def commit(instance, place, start_us):
    """What was scheduled is in flight from now on, in this place: to later plans it is done."""
    batch, flights = instance.batch, instance.flights
    at, plan = batch.at, flights.plans[place]
    plan[PLAN_STEP] = at[STEPS]
    plan[PLAN_DECODERS] = at[DECODERS]
    for i in range(len(batch.class_count)):
        flights.class_count[place, i] = batch.class_count[i]
    slot = int64(batch.calendar[at[STEPS] & (len(batch.calendar) - 1)])
    at[STEPS] += 1
    commit_explicit(instance, place, start_us)
    while slot != NONE:
        following = batch.calendar_next[slot]
        end_decoding(instance, place, slot)
        slot = following


@kernel
def commit_explicit(instance, place, start_us):
    """`commit` for those who are not decoders."""
    batch, flights = instance.batch, instance.flights
    kept = int64(0)
    for i in range(batch.at[EXPLICIT]):
        slot = batch.explicit[i]
        stays = True
        if batch.scheduled[slot] > 0:
            request = batch.request[slot]
            if flights.started_us[request] == NEVER:
                flights.started_us[request] = start_us
            batch.computed[slot] += batch.scheduled[slot]
            batch.scheduled[slot] = 0
            if batch.computed[slot] == batch.known[slot]:
                stays = sample(instance, place, slot, request)
        if stays:
            batch.explicit[kept] = slot
            kept += 1
    batch.at[EXPLICIT] = kept


@kernel
def sample(instance, place, slot, request):
    """An explicit slot will have caught up with what it knows. True: it stays explicit."""
    batch, requests, flights, limits = instance.batch, instance.requests, instance.flights, instance.limits
    output = requests.output_tokens[request]
    total = requests.prompt_tokens[request] + output
    if batch.known[slot] == total:  # there is no token for it: none at all, or the last one is in flight
        if output == 0:
            add_leaver(instance, place, slot)
        flights.leaves[slot] = 1
        return False
    add_sampler(instance, place, slot)
    if batch.known[slot] + 1 == total:
        add_leaver(instance, place, slot)
        if flights.foreseen[request]:
            flights.leaves[slot] = 1
            return False
        batch.known[slot] = total
        flights.owed[slot] = 1
        return True
    gap_class = int64(requests.gap_class[request])
    become_decoder(batch, slot, total, int64(requests.num_shared[request]), gap_class, limits)
    flights.since[slot] = batch.at[STEPS]
    flights.gone[slot] = FAR_FUTURE
    return False


@kernel
def end_decoding(instance, place, slot):
    """A decoder gets its last token by the plan in this place."""
    batch, flights, limits = instance.batch, instance.flights, instance.limits
    request = batch.request[slot]
    leave_decoders(batch, slot, int64(instance.requests.gap_class[request]), limits, int64(0))
    add_leaver(instance, place, slot)
    flights.gone[slot] = batch.at[STEPS]
    flights.unkeyed[slot] = limits.plans_ahead
    if flights.foreseen[request]:
        batch.known[slot] = batch.computed[slot]
        flights.leaves[slot] = 1
        return
    flights.owed[slot] = 1
    insert_by_admission(batch.explicit, batch.at[EXPLICIT], slot, batch.admission)
    batch.at[EXPLICIT] += 1


@kernel
def add_sampler(instance, place, slot):
    """Somebody gets a token by the plan in this place, and is none of its decoders."""
    plan, batch = instance.flights.plans[place], instance.batch
    row = instance.flights.samplers[place, plan[PLAN_SAMPLERS]]
    row[WHO], row[WHERE], row[WHEN] = batch.request[slot], slot, batch.admission[slot]
    plan[PLAN_SAMPLERS] += 1


@kernel
def add_leaver(instance, place, slot):
    """Somebody gets its last token by the plan in this place, or, without any, its prompt done."""
    plan, rows, batch = instance.flights.plans[place], instance.flights.leavers[place], instance.batch
    i = plan[PLAN_LEAVERS]
    plan[PLAN_LEAVERS] += 1
    while i > 0 and rows[i - 1, WHEN] > batch.admission[slot]:
        for column in range(rows.shape[1]):
            rows[i, column] = rows[i - 1, column]
        i -= 1
    rows[i, WHO], rows[i, WHERE], rows[i, WHEN] = batch.request[slot], slot, batch.admission[slot]


@kernel
def note_leaving(instance, slot):
    """A slot is no decoder any more; what is in flight for it is told of it alone."""
    batch, flights, requests = instance.batch, instance.flights, instance.requests
    request, steps = batch.request[slot], batch.at[STEPS]
    flights.gone[slot] = steps
    flights.unkeyed[slot] = 0
    flights.owed[slot] = instance.limits.plans_ahead
    if flights.since[slot] == steps:  # the last plan has made it one, and has a row for it
        return
    requests.last_token_us[request] = flights.at[LAST_SEEN]
    if instance.limits.plans_ahead > 0:
        place = (flights.at[OLDEST] + instance.at[IN_FLIGHT] - 1) & (len(flights.plans) - 1)
        flights.unkeyed[slot] = 1
        flights.gone[slot] = steps - 1
        flights.plans[place, PLAN_DECODERS] -= 1
        flights.class_count[place, int64(requests.gap_class[request])] -= 1
        add_sampler(instance, place, slot)


@kernel
def forget_flights(instance, slot, published, known):
    """A slot is closed whose tokens in flight will come all the same; how many were published, and are known."""
    flights = instance.flights
    owed, unkeyed = flights.owed[slot], flights.unkeyed[slot]
    flights.owed[slot] = flights.unkeyed[slot] = flights.leaves[slot] = 0
    return published - (owed if instance.batch.scheduled[slot] > 0 else unkeyed), known - owed


@kernel
def collect(instance, place, now_us):
    """Settle the plan in this place: tokens appear, requests are over."""
    flights = instance.flights
    plan = flights.plans[place]
    if plan[PLAN_DECODERS] > 0:
        instance.at[FUTILE] = 0
        record_gaps(instance.recorder, flights.class_count[place], now_us - flights.at[LAST_SEEN])
    flights.at[LAST_SEEN] = now_us
    for i in range(plan[PLAN_SAMPLERS]):
        row = flights.samplers[place, i]
        deliver(instance, row[WHO], row[WHERE], now_us)
    count = plan[PLAN_LEAVERS]
    for i in range(count):
        row = flights.leavers[place, i]
        instance.batch.scratch[i] = row[WHERE]
        see_off(instance, row[WHO], row[WHERE], now_us)
    instance.at[ENDED] = count
    if count > 0:
        flights.at[NOTICE] = 1


@kernel
def deliver(instance, request, slot, now_us):
    """A request gets a token; it runs, or waits because it was preempted meanwhile."""
    batch, requests, flights = instance.batch, instance.requests, instance.flights
    instance.at[FUTILE] = 0
    if requests.first_token_us[request] == NEVER:
        requests.first_token_us[request] = now_us
    else:
        gap_class = int64(requests.gap_class[request])
        record_gap(instance.recorder, gap_class, now_us - requests.last_token_us[request], int64(1))
    requests.last_token_us[request] = now_us
    if requests.status[request] == WAITING:
        requests.produced_tokens[request] += 1
    elif not batch.is_decoder[slot] and flights.owed[slot] > 0:
        flights.owed[slot] = flights.unkeyed[slot] = 0
        if batch.known[slot] < requests.prompt_tokens[request] + requests.output_tokens[request]:  # it was left out
            publish_computed(instance, slot, batch.computed[slot])


@kernel
def see_off(instance, request, slot, now_us):
    """A request is over; it runs, or waits because it was preempted meanwhile."""
    batch, requests, flights = instance.batch, instance.requests, instance.flights
    output = requests.output_tokens[request]
    if requests.status[request] == WAITING:
        remove(instance.queue, request, instance.limits)
        instance.at[LEFT_WAITING] -= 1
    else:
        tokens = batch.known[slot] - (0 if flights.foreseen[request] else 1)  # one less than it has: see `sample`
        if (batch.shared[slot] + 1) * instance.limits.block_size == tokens:  # all before are published
            publish_computed(instance, slot, tokens)
        give_back(instance, slot, tokens, int64(NONE))
        if not flights.leaves[slot]:
            remove_explicit(batch, slot)
        flights.owed[slot] = flights.unkeyed[slot] = flights.leaves[slot] = 0
        close_slot(batch, slot)
    requests.last_token_us[request] = now_us
    requests.produced_tokens[request] = output
    requests.status[request] = COMPLETED
    instance.at[FINISHED] += 1
    if instance.limits.logging:
        log(instance.recorder, int64(LOG_FINISHED), request, int64(0), int64(0))
