"""One model server through time: steps follow each other.

A step has a beginning, when it is scheduled, and an end, when its results are collected; in between it is in
flight, and others may look at the instance or queue requests. `advance` processes all beginnings and ends before
a given moment.
"""

from __future__ import annotations

from numba import int64

from blis._core.admission import admit_waiting, is_blocked
from blis._core.block_pool import take
from blis._core.codes import GO_ON, NONE, LogRecord, StepLog, StopReason, ViewWord
from blis._core.functions import priority_of, step_time
from blis._core.jit import kernel
from blis._core.recorder import log, logs_full
from blis._core.results import collect_results
from blis._core.running import serve_running
from blis._core.state import (
    ATTENTION_PAIRS,
    BASE_SUM,
    BUDGET,
    DECODE_CONTEXT,
    DECODERS,
    DURATION,
    ENDED,
    EXPLICIT,
    FAR_FUTURE,
    FIRST,
    FREE,
    FUTILE,
    HISTOGRAM_USED,
    IN_FLIGHT,
    LEAST_FREE,
    LEFT_WAITING,
    LENGTH,
    LOAD_SCALARS,
    MAX_PREFILL_CONTEXT,
    NOW,
    NUM_DECODES,
    NUM_PREFILLS,
    NUMBERS,
    PARAMETERS,
    PREEMPTIONS,
    PREFILL_CONTEXT,
    PREFILL_TOKENS,
    PRIORITY,
    PRIORITY_STATE,
    QUEUE_SUM,
    RUNNING,
    STEP_TIME,
    STEPS,
    WAKE,
    WORDS,
)
from blis._core.view import show_request
from blis._core.waiting_queue import RANK_MASK, head, sort_upwards

PAUSED = int(StopReason.PAUSED)
LOG_FULL = int(StopReason.LOG_FULL)
STALLED = int(StopReason.STALLED)
LIVELOCK = int(StopReason.LIVELOCK)
PRIORITY_FAILED = int(StopReason.PRIORITY_FAILED)
STEP_TIME_FAILED = int(StopReason.STEP_TIME_FAILED)
STATE_LENGTH = int(ViewWord.STATE_LENGTH)
LOG_STEP = int(LogRecord.STEP)
LOG_LOAD = int(LogRecord.LOAD)
LOG_PREFILLS = int(LogRecord.PREFILLS)
LOG_LONGEST = int(LogRecord.LONGEST_PREFILL)
LOG_SCHEDULED = int(LogRecord.SCHEDULED)
LOG_END = int(LogRecord.END)
REQUESTS_ONLY = int(StepLog.REQUESTS)
LOADS_ONLY = int(StepLog.LOADS)
#: Preemptions without a token in between that no working schedule comes near.
MOST_FUTILE = 100_000


@kernel
def advance(instance, laws, until, end, max_steps):
    """Begin every step before ``until`` and end every one before ``end``; anything but `GO_ON`: it could not.

    ``end`` is ``until`` if somebody wants to see the instance, later if not: an end is then not left to the next call.
    """
    at, batch, queue, limits = instance.at, instance.batch, instance.queue, instance.limits
    last = batch.at[STEPS] + max_steps
    while at[WAKE] < until or (at[IN_FLIGHT] and at[WAKE] < end):
        at[NOW] = at[WAKE]
        if at[IN_FLIGHT]:
            end_step(instance)
            if batch.at[RUNNING] == 0 and queue.at[LENGTH] == 0:
                at[WAKE] = FAR_FUTURE
                return GO_ON
            if at[NOW] >= until or (limits.closed_loop and at[ENDED] > 0):
                return GO_ON
        if logs_full(instance.recorder, limits.max_running + 1, 3 * limits.max_running + 5):
            return LOG_FULL
        if batch.at[STEPS] >= last:
            return PAUSED
        if may_sprint(instance) and sprint(instance, laws, until, end, last):
            continue
        reason = begin_step(instance, laws)
        if reason != GO_ON:
            return reason
    return GO_ON


@kernel
def begin_step(instance, laws):
    """Schedule, and ask the step-time law when the step will be over."""
    at, limits = instance.at, instance.limits
    reason = schedule(instance, laws, None)
    if reason != GO_ON:
        return reason
    if at[BUDGET] == limits.max_tokens:  # nothing was scheduled
        if limits.logging > REQUESTS_ONLY and at[PREEMPTIONS] > 0:
            at[LEFT_WAITING] = instance.queue.at[LENGTH]
            log_step(instance, at[NOW], int64(0))
            log_end(instance)
        return GO_ON if at[PREEMPTIONS] > 0 else STALLED
    duration = ask_law(instance, laws)
    if duration < 0:
        return STEP_TIME_FAILED
    fly(instance, max(int64(1), duration))
    if limits.logging > REQUESTS_ONLY:
        log_step(instance, at[NOW], at[DURATION])
    return GO_ON


@kernel
def schedule(instance, laws, flights):
    """Decide who gets how many tokens, and give them their blocks; ``flights`` as in `blis._core.running`."""
    at, batch, limits, pool = instance.at, instance.batch, instance.limits, instance.pool
    at[BUDGET] = limits.max_tokens
    at[PREEMPTIONS] = 0
    threshold = limits.prefill_threshold
    if limits.threshold_spares_lone and batch.at[RUNNING] + instance.queue.at[LENGTH] == 1:
        threshold = limits.max_tokens
    serve_running(instance, threshold, flights)
    at[FUTILE] += at[PREEMPTIONS]
    if at[FUTILE] > MOST_FUTILE:
        return LIVELOCK
    if at[PREEMPTIONS] == 0:
        if limits.dynamic and not order_waiting(instance, laws):
            return PRIORITY_FAILED
        admit_waiting(instance, threshold)
    pool.at[LEAST_FREE] = min(pool.at[LEAST_FREE], pool.at[FREE])
    return GO_ON


@kernel
def ask_law(instance, laws):
    """How long the batch takes; negative: the law failed."""
    law, parameters, load = laws[STEP_TIME], laws[PARAMETERS], instance.load
    measure_load(instance)
    return step_time(law, load[0], load[1], load[2], load[3], load[4], load[5], load[6], parameters)


@kernel
def fly(instance, duration):
    """A step is in flight from now on."""
    at = instance.at
    at[LEFT_WAITING] = instance.queue.at[LENGTH]
    at[IN_FLIGHT] = 1
    at[DURATION] = duration
    at[WAKE] = at[NOW] + duration


@kernel
def end_step(instance):
    """The step in flight is over, now."""
    at = instance.at
    at[IN_FLIGHT] = 0
    at[QUEUE_SUM] += at[LEFT_WAITING]
    collect_results(instance, at[NOW], at[DURATION])
    if instance.limits.logging > REQUESTS_ONLY:
        log_end(instance)


@kernel
def order_waiting(instance, laws):
    """Ask for the priority of each waiting request, and sort by them. False: the policy failed."""
    words, numbers, policy, state = laws[WORDS], laws[NUMBERS], laws[PRIORITY], laws[PRIORITY_STATE]
    instance.shown.words[STATE_LENGTH] = instance.shown.state_lengths[2]
    queue, sign = instance.queue, instance.limits.dynamic
    waiting = queue.at[LENGTH]
    if waiting == 0 or instance.at[BUDGET] == 0 or instance.batch.at[RUNNING] == instance.limits.max_running:
        return True
    for i in range(waiting):
        show_request(instance.shown, instance.requests, queue.by_rank[queue.heap[i] & RANK_MASK], instance.at[NOW])
        priority = priority_of(policy, words, numbers, state)
        if not abs(priority) < float("inf"):
            return False
        queue.key[i] = sign * priority
    sort_upwards(queue.heap, queue.key, waiting)
    return True


@kernel
def measure_load(instance):
    """Add up what the step-time law gets to know about the batch."""
    batch, load, limits = instance.batch, instance.load, instance.limits
    at = batch.at
    for i in range(LOAD_SCALARS):
        load[i] = 0
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
    if batch.at[EXPLICIT] > 0 or budget < 0 or limits.plain or batch.at[RUNNING] == 0:
        return False
    if queue.at[LENGTH] == 0 or budget == 0 or batch.at[RUNNING] == limits.max_running:
        return True
    return not limits.dynamic and is_blocked(instance, int64(head(queue, limits)), budget)


@kernel
def sprint(instance, laws, until, end, last):
    """Run steps as long as nothing happens but one token for each decoder. False: there was no such step.

    Ends before the step in which a decoder has an event or blocks run out; one that is not over before ``end``
    stays in flight.
    """
    law, parameters = laws[STEP_TIME], laws[PARAMETERS]
    at, batch, pool, recorder = instance.at, instance.batch, instance.pool, instance.recorder
    calendar, phase_count, class_count = batch.calendar, batch.phase_count, batch.class_count
    histogram, lone_class, num_classes = recorder.histogram, recorder.histogram[0], len(class_count)
    mask, period = len(calendar) - 1, len(phase_count)
    per_need = 1 + instance.limits.prealloc_blocks
    start, decoders = batch.at[STEPS], batch.at[DECODERS]
    now, free, context = at[NOW], pool.at[FREE], batch.at[BASE_SUM] + decoders * start
    steps, phase, taken = start, start % period, int64(0)
    zero, in_flight, longest = int64(0), int64(0), int64(0)
    while now < until and steps < last and calendar[steps & mask] == NONE:
        need = phase_count[phase] * per_need
        if taken + need > free:
            break
        duration = step_time(law, zero, decoders, context, zero, zero, zero, zero, parameters)
        if duration < 1:
            if duration < 0:
                break
            duration = int64(1)
        if now + duration >= end or duration >= len(lone_class):
            in_flight = duration
            taken += need
            break
        if num_classes == 1:
            lone_class[duration] += decoders
        else:
            for i in range(num_classes):
                histogram[i, duration] += class_count[i]
        longest = max(longest, duration)
        now += duration
        taken += need
        context += decoders
        steps += 1
        phase = phase + 1 if phase + 1 < period else zero
    take(pool, taken)
    pool.at[LEAST_FREE] = min(pool.at[LEAST_FREE], pool.at[FREE])
    at[NOW] = at[WAKE] = now
    recorder.at[HISTOGRAM_USED] = max(recorder.at[HISTOGRAM_USED], longest + 1)
    at[QUEUE_SUM] += (steps - start) * instance.queue.at[LENGTH]
    batch.at[STEPS] = steps
    if in_flight > 0:
        fly(instance, in_flight)
    return steps > start or in_flight > 0


@kernel
def log_step(instance, start_us, duration):
    """Write a scheduled step to the step log."""
    batch, recorder, load = instance.batch, instance.recorder, instance.load
    log(recorder, int64(LOG_STEP), start_us, duration, instance.pool.at[FREE])
    if duration == 0:
        return
    log(recorder, int64(LOG_LOAD), load[PREFILL_TOKENS], load[NUM_DECODES], load[DECODE_CONTEXT])
    log(recorder, int64(LOG_PREFILLS), load[ATTENTION_PAIRS], load[PREFILL_CONTEXT], load[NUM_PREFILLS])
    log(recorder, int64(LOG_LONGEST), load[MAX_PREFILL_CONTEXT], int64(0), int64(0))
    if instance.limits.logging == LOADS_ONLY:
        return
    slot = batch.at[FIRST]
    while slot != NONE:
        n = int64(1) if batch.is_decoder[slot] else batch.scheduled[slot]
        if n > 0:
            log(recorder, int64(LOG_SCHEDULED), batch.request[slot], n, int64(0))
        slot = batch.next[slot]


@kernel
def log_end(instance):
    """Write the state after a step to the step log."""
    log(
        instance.recorder, int64(LOG_END), instance.pool.at[FREE], instance.batch.at[RUNNING], instance.at[LEFT_WAITING]
    )
