"""One model server through time: requests become visible, steps follow each other."""

from __future__ import annotations

from numba import int64

from blis._core.admission import admit_waiting, is_blocked
from blis._core.block_pool import take
from blis._core.codes import LogRecord, RequestStatus, StopReason
from blis._core.jit import kernel
from blis._core.recorder import log, logs_full, record_gap
from blis._core.results import collect_results
from blis._core.running import serve_running
from blis._core.state import (
    ATTENTION_PAIRS,
    BASE_SUM,
    BUDGET,
    CURSOR,
    DECODE_CONTEXT,
    DECODERS,
    EXPLICIT,
    FIRST,
    FREE,
    FUTILE,
    LEAST_FREE,
    LENGTH,
    MAX_PREFILL_CONTEXT,
    NONE,
    NOW,
    NUM_DECODES,
    NUM_PREFILLS,
    PREEMPTIONS,
    PREFILL_CONTEXT,
    PREFILL_TOKENS,
    RUNNING,
    STEPS,
)
from blis._core.waiting_queue import enqueue, head

GO_ON = -1
DONE = int(StopReason.DONE)
HORIZON = int(StopReason.HORIZON)
PAUSED = int(StopReason.PAUSED)
LOG_FULL = int(StopReason.LOG_FULL)
STALLED = int(StopReason.STALLED)
LIVELOCK = int(StopReason.LIVELOCK)
WAITING = int(RequestStatus.WAITING)
LOG_STEP = int(LogRecord.STEP)
LOG_LOAD = int(LogRecord.LOAD)
LOG_SCHEDULED = int(LogRecord.SCHEDULED)
LOG_END = int(LogRecord.END)
FAR_FUTURE = 2**62
#: Preemptions without a token in between that no working schedule comes near.
MOST_FUTILE = 100_000


@kernel
def advance(instance, law, parameters, max_steps):
    """Run until nothing is left to do or something stops it; returns a `StopReason`."""
    at, batch, queue, limits = instance.at, instance.batch, instance.queue, instance.limits
    last = batch.at[STEPS] + max_steps
    while True:
        next_visible_us = admit_visible(instance)
        if batch.at[RUNNING] == 0 and queue.at[LENGTH] == 0:
            if next_visible_us == FAR_FUTURE:
                return DONE
            if next_visible_us > limits.horizon_us:
                return HORIZON
            at[NOW] = next_visible_us
            continue
        if logs_full(instance.recorder, limits.max_running + 1, 3 * limits.max_running + 3):
            return LOG_FULL
        if batch.at[STEPS] >= last:
            return PAUSED
        if may_sprint(instance) and sprint(instance, law, parameters, next_visible_us, last) > 0:
            continue
        reason = step(instance, law, parameters)
        if reason != GO_ON:
            return reason


@kernel
def admit_visible(instance):
    """Queue the requests that have become visible; returns when the next one will."""
    at, requests = instance.at, instance.requests
    order, visible_us = requests.order, requests.visible_us
    cursor = at[CURSOR]
    while cursor < len(order) and visible_us[order[cursor]] <= at[NOW]:
        requests.status[order[cursor]] = WAITING
        enqueue(instance.queue, order[cursor], int64(0), instance.limits.ranked)
        cursor += 1
    at[CURSOR] = cursor
    if cursor == len(order):
        return int64(FAR_FUTURE)
    return visible_us[order[cursor]]


@kernel
def step(instance, law, parameters):
    """Schedule, let the step-time law say how long it takes, collect the results."""
    at, batch, limits, pool = instance.at, instance.batch, instance.limits, instance.pool
    at[BUDGET] = limits.max_tokens
    at[PREEMPTIONS] = 0
    threshold = limits.prefill_threshold
    if limits.threshold_spares_lone and batch.at[RUNNING] + instance.queue.at[LENGTH] == 1:
        threshold = limits.max_tokens
    serve_running(instance, threshold)
    at[FUTILE] += at[PREEMPTIONS]
    if at[FUTILE] > MOST_FUTILE:
        return LIVELOCK
    if at[PREEMPTIONS] == 0:
        admit_waiting(instance, threshold)
    pool.at[LEAST_FREE] = min(pool.at[LEAST_FREE], pool.at[FREE])
    if at[BUDGET] == limits.max_tokens:  # nothing was scheduled
        if limits.logging and at[PREEMPTIONS] > 0:
            log_step(instance, int64(0))
            log_end(instance)
        return GO_ON if at[PREEMPTIONS] > 0 else STALLED
    measure_load(instance)
    load = instance.load
    duration = max(
        int64(1),
        law(load[0], load[1], load[2], load[3], load[4], load[5], load[6], parameters),
    )
    if limits.logging:
        log_step(instance, duration)
    if at[NOW] + duration > limits.horizon_us:
        return HORIZON
    at[NOW] += duration
    collect_results(instance, at[NOW], duration)
    if limits.logging:
        log_end(instance)
    return GO_ON


@kernel
def measure_load(instance):
    """Add up what the step-time law gets to know about the batch."""
    batch, load, limits = instance.batch, instance.load, instance.limits
    at = batch.at
    load[:] = 0
    load[NUM_DECODES] = at[DECODERS]
    load[DECODE_CONTEXT] = at[BASE_SUM] + at[DECODERS] * at[STEPS]
    for i in range(at[EXPLICIT]):
        slot = batch.explicit[i]
        n, past = batch.scheduled[slot], batch.computed[slot]
        if n == 0:
            continue
        prompt = instance.requests.prompt_tokens[batch.request[slot]]
        if n == 1 and past + 1 == batch.known[slot] and (past >= prompt or limits.last_prompt_token_is_decode):
            load[NUM_DECODES] += 1
            load[DECODE_CONTEXT] += past
        else:
            load[PREFILL_TOKENS] += n
            load[ATTENTION_PAIRS] += n * past + n * (n + 1) // 2
            load[PREFILL_CONTEXT] += past + n
            load[NUM_PREFILLS] += 1
            load[MAX_PREFILL_CONTEXT] = max(load[MAX_PREFILL_CONTEXT], past + n)


@kernel
def may_sprint(instance):
    """Whether the next step has nothing to decide: all running requests decode, and no head can be admitted."""
    limits, batch, queue = instance.limits, instance.batch, instance.queue
    budget = limits.max_tokens - batch.at[DECODERS]
    if batch.at[EXPLICIT] > 0 or budget < 0 or limits.plain:
        return False
    if queue.at[LENGTH] == 0 or budget == 0 or batch.at[RUNNING] == limits.max_running:
        return True
    return is_blocked(instance, int64(head(queue, limits.ranked)), budget)


@kernel
def sprint(instance, law, parameters, next_visible_us, last):
    """Run steps as long as nothing happens but one token for each decoder; returns how many.

    Ends before the step in which a request becomes visible, a decoder has an event, blocks run out, or the
    horizon would be crossed.
    """
    batch, pool, limits, histogram = instance.batch, instance.pool, instance.limits, instance.recorder.histogram
    calendar, phase_count = batch.calendar, batch.phase_count
    mask, period = len(calendar) - 1, len(phase_count)
    per_need = 1 + limits.prealloc_blocks
    start = batch.at[STEPS]
    decoders = batch.at[DECODERS]
    now, free = instance.at[NOW], pool.at[FREE]
    context = batch.at[BASE_SUM] + decoders * start
    steps, phase, taken = start, start % period, int64(0)
    zero = int64(0)
    while now < next_visible_us and steps < last and calendar[steps & mask] == NONE:
        need = phase_count[phase] * per_need
        if taken + need > free:
            break
        duration = max(int64(1), law(zero, decoders, context, zero, zero, zero, zero, parameters))
        if now + duration > limits.horizon_us:
            break
        if duration < len(histogram):
            histogram[duration] += decoders
        elif steps == start:
            record_gap(instance.recorder, duration, decoders)
            last = steps + 1
        else:
            break
        now += duration
        taken += need
        context += decoders
        steps += 1
        phase = phase + 1 if phase + 1 < period else zero
    take(pool, taken)
    pool.at[LEAST_FREE] = min(pool.at[LEAST_FREE], pool.at[FREE])
    instance.at[NOW] = now
    batch.at[STEPS] = steps
    return steps - start


@kernel
def log_step(instance, duration):
    """Write a scheduled step to the step log."""
    batch, recorder, load = instance.batch, instance.recorder, instance.load
    log(recorder, int64(LOG_STEP), instance.at[NOW], duration, instance.pool.at[FREE])
    if duration == 0:
        return
    log(recorder, int64(LOG_LOAD), load[PREFILL_TOKENS], load[NUM_DECODES], int64(0))
    slot = batch.at[FIRST]
    while slot != NONE:
        n = int64(1) if batch.is_decoder[slot] else batch.scheduled[slot]
        if n > 0:
            log(recorder, int64(LOG_SCHEDULED), batch.request[slot], n, int64(0))
        slot = batch.next[slot]


@kernel
def log_end(instance):
    """Write the state after a step to the step log."""
    free, running = instance.pool.at[FREE], instance.batch.at[RUNNING]
    log(instance.recorder, int64(LOG_END), free, running, instance.queue.at[LENGTH])
