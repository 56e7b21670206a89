"""One model server through time that plans before it knows: asynchronous scheduling, as vLLM's engine loop does it.

Rounds follow each other. A round takes in who is visible and plans, if there is work; once as many plans are in
flight as may be, it settles the oldest when that one's result is there. With one plan ahead the GPU finds the next step
planned whenever one is over. `advance_ahead` does here what `blis._core.instance.advance` does for a server that waits.
"""

from __future__ import annotations

from numba import int64

from blis._core.block_pool import take
from blis._core.codes import GO_ON, NONE, LogRecord, StepLog, StopReason
from blis._core.flight_state import (
    GPU_FREE,
    LAST_SEEN,
    NOTICE,
    OLDEST,
    PLAN_DECODERS,
    PLAN_END,
    PLAN_LEAVERS,
    PLAN_LOGGED,
    PLAN_SAMPLERS,
    PLAN_STEP,
    PLAN_WAITING,
    SETTLES,
    VOID,
)
from blis._core.flights import collect, commit
from blis._core.functions import step_time
from blis._core.instance import ask_law, log_end, log_step, may_sprint, schedule
from blis._core.jit import kernel
from blis._core.recorder import log, logs_full
from blis._core.state import (
    BASE_SUM,
    BUDGET,
    DECODERS,
    ENDED,
    FAR_FUTURE,
    FREE,
    HISTOGRAM_USED,
    IN_FLIGHT,
    LEAST_FREE,
    LEFT_WAITING,
    LENGTH,
    NOW,
    PARAMETERS,
    PREEMPTIONS,
    QUEUE_SUM,
    RUNNING,
    STEP_TIME,
    STEPS,
    WAKE,
)

PAUSED = int(StopReason.PAUSED)
LOG_FULL = int(StopReason.LOG_FULL)
STALLED = int(StopReason.STALLED)
STEP_TIME_FAILED = int(StopReason.STEP_TIME_FAILED)
LOG_PLAN = int(LogRecord.PLAN)
REQUESTS_ONLY = int(StepLog.REQUESTS)
#: Plans that do nothing, one behind the other, that no working schedule comes near.
MOST_VOID = 4


@kernel
def advance_ahead(instance, laws, until, end, max_steps):
    """Plan whenever it is time before ``until``, and settle before ``end``; anything but `GO_ON`: it could not."""
    at, limits, flights_at = instance.at, instance.limits, instance.flights.at
    last = instance.batch.at[STEPS] + max_steps
    while at[WAKE] < until or (flights_at[SETTLES] and at[WAKE] < end):
        if logs_full(instance.recorder, limits.max_running + 1, 3 * limits.max_running + 5):
            return LOG_FULL
        if flights_at[SETTLES]:
            at[NOW] = at[WAKE]
            settle(instance)
            if limits.closed_loop and at[ENDED] > 0:
                return GO_ON
            continue
        if instance.batch.at[STEPS] >= last:
            return PAUSED
        at[NOW] = at[WAKE]
        at[ENDED] = 0
        if may_sprint_ahead(instance) and sprint_ahead(instance, laws, until, end, last):
            if limits.closed_loop and at[ENDED] > 0:
                return GO_ON
            continue
        if instance.batch.at[RUNNING] > 0 or instance.queue.at[LENGTH] > 0 or flights_at[NOTICE]:
            reason = plan(instance, laws)
            if reason != GO_ON:
                return reason
        else:
            at[LEFT_WAITING] = 0
            wait_for_result(instance, at[NOW])
    return GO_ON


@kernel
def plan(instance, laws):
    """Make a plan; its step begins when the GPU is free."""
    at, limits, flights = instance.at, instance.limits, instance.flights
    reason = schedule(instance, laws, flights)
    if reason != GO_ON:
        return reason
    place = (flights.at[OLDEST] + at[IN_FLIGHT]) & (len(flights.plans) - 1)
    row, planned_us = flights.plans[place], at[NOW] + limits.schedule_us
    row[PLAN_STEP] = NONE
    row[PLAN_SAMPLERS] = row[PLAN_LEAVERS] = 0
    row[PLAN_LOGGED] = 0
    start_us, duration, has_tokens = planned_us, int64(0), at[BUDGET] < limits.max_tokens
    if has_tokens:
        duration = ask_law(instance, laws)
        if duration < 0:
            return STEP_TIME_FAILED
        duration = max(int64(1), duration)
        start_us = max(planned_us, flights.at[GPU_FREE])
        flights.at[GPU_FREE] = start_us + duration
    if has_tokens or at[PREEMPTIONS] > 0 or flights.at[NOTICE]:
        flights.at[VOID] = 0
    else:
        flights.at[VOID] += 1
        if flights.at[VOID] > MOST_VOID:
            return STALLED
    if limits.logging > REQUESTS_ONLY and (has_tokens or at[PREEMPTIONS] > 0):
        row[PLAN_LOGGED] = 1
        log(instance.recorder, int64(LOG_PLAN), at[NOW], int64(0), int64(0))
        log_step(instance, start_us, duration)
    if has_tokens:
        commit(instance, place, start_us)
    take_off(instance, row, start_us + duration, planned_us, has_tokens)
    return GO_ON


@kernel
def take_off(instance, row, end_us, planned_us, has_tokens):
    """A plan is in flight; go on with the next one if there may be another, else wait for the oldest."""
    at, flights = instance.at, instance.flights
    at[LEFT_WAITING] = instance.queue.at[LENGTH]
    row[PLAN_END] = end_us
    row[PLAN_WAITING] = at[LEFT_WAITING]
    at[IN_FLIGHT] += 1
    flights.at[NOTICE] = 0
    if at[IN_FLIGHT] <= instance.limits.plans_ahead and (has_tokens or has_work(instance)):
        begin_round(instance, planned_us, has_tokens)
    else:
        wait_for_result(instance, planned_us)


@kernel
def has_work(instance):
    """Whether a plan would do anything; who became visible since the last one does not count."""
    running, left_waiting = instance.batch.at[RUNNING], instance.at[LEFT_WAITING]
    return running > 0 or left_waiting > 0 or instance.flights.at[NOTICE] > 0


@kernel
def begin_round(instance, now_us, has_tokens):
    """A round is over; if it planned no tokens though there is work, vLLM lets others have the CPU for a while."""
    if not has_tokens and has_work(instance):
        now_us += instance.limits.yield_us
    instance.at[WAKE] = now_us
    instance.flights.at[SETTLES] = 0


@kernel
def wait_for_result(instance, now_us):
    """What comes next is the result of the oldest plan; if none is in flight there is nothing to do."""
    at, flights = instance.at, instance.flights
    if at[IN_FLIGHT] == 0:
        at[WAKE] = FAR_FUTURE
        return
    flights.at[SETTLES] = 1
    at[WAKE] = max(now_us, flights.plans[flights.at[OLDEST], PLAN_END])


@kernel
def settle(instance):
    """The result of the oldest plan is there, now."""
    at, flights = instance.at, instance.flights
    place = flights.at[OLDEST]
    row = flights.plans[place]
    at[ENDED] = 0
    if row[PLAN_STEP] != NONE:
        at[QUEUE_SUM] += row[PLAN_WAITING]
        collect(instance, place, at[NOW])
    if row[PLAN_LOGGED]:
        log_end(instance)
    newest = (place + at[IN_FLIGHT] - 1) & (len(flights.plans) - 1)
    has_planned = flights.plans[newest, PLAN_STEP] != NONE
    flights.at[OLDEST] = (place + 1) & (len(flights.plans) - 1)
    at[IN_FLIGHT] -= 1
    begin_round(instance, at[NOW], has_planned)


@kernel
def may_sprint_ahead(instance):
    """Whether the next plan has nothing to decide, and follows one with tokens."""
    at, batch, flights = instance.at, instance.batch, instance.flights
    if batch.calendar[batch.at[STEPS] & (len(batch.calendar) - 1)] != NONE:
        return False
    if batch.at[DECODERS] == 0 or not may_sprint(instance):  # all that run may be about to leave
        return False
    ahead = instance.limits.plans_ahead
    return at[IN_FLIGHT] == ahead and (ahead == 0 or flights.plans[flights.at[OLDEST], PLAN_STEP] != NONE)


@kernel
def sprint_ahead(instance, laws, until, end, last):
    """Plan and settle as long as each decoder gets a token and nothing else is planned. False: there was no such plan.

    Ends before the plan in which a decoder has an event or blocks run out, or whose round ``end`` cuts; and when
    requests are over and others wait for that.
    """
    at, flights = instance.at, instance.flights
    row = flights.plans[flights.at[OLDEST]]
    if at[IN_FLIGHT] == 0 or row[PLAN_SAMPLERS] + row[PLAN_LEAVERS] == 0:
        return run_decoders(instance, laws, until, end, last)
    waits = instance.queue.at[LENGTH] > 0 or instance.limits.closed_loop
    if not pass_rows(instance, laws, end):
        return False
    if at[ENDED] == 0 or not waits:
        run_decoders(instance, laws, until, end, last)
    return True


@kernel
def pass_rows(instance, laws, end):
    """Plan a token for each decoder, and settle the plan before, which others take part in. False: it cannot be."""
    at, batch, pool, flights, limits = instance.at, instance.batch, instance.pool, instance.flights, instance.limits
    place, steps, decoders = flights.at[OLDEST], batch.at[STEPS], batch.at[DECODERS]
    row = flights.plans[place]
    blocks = batch.phase_count[steps % len(batch.phase_count)] * (1 + limits.prealloc_blocks)
    planned_us = at[NOW] + limits.schedule_us
    seen = max(planned_us, row[PLAN_END])
    if blocks > pool.at[FREE] or seen >= end:
        return False
    zero, context = int64(0), batch.at[BASE_SUM] + decoders * steps
    duration = step_time(laws[STEP_TIME], zero, decoders, context, zero, zero, zero, zero, laws[PARAMETERS])
    if duration < 0:
        return False
    take(pool, blocks)
    pool.at[LEAST_FREE] = min(pool.at[LEAST_FREE], pool.at[FREE])
    at[LEFT_WAITING] = waiting = instance.queue.at[LENGTH]
    at[QUEUE_SUM] += row[PLAN_WAITING]
    flights.at[GPU_FREE] = max(planned_us, flights.at[GPU_FREE]) + max(int64(1), duration)
    collect(instance, place, seen)
    batch.at[STEPS] = steps + 1
    row[PLAN_STEP], row[PLAN_END], row[PLAN_WAITING] = steps, flights.at[GPU_FREE], waiting
    row[PLAN_SAMPLERS] = row[PLAN_LEAVERS] = 0
    row[PLAN_DECODERS] = decoders
    for i in range(len(batch.class_count)):
        flights.class_count[place, i] = batch.class_count[i]
    at[NOW] = at[WAKE] = seen
    flights.at[NOTICE] = flights.at[VOID] = 0
    return True


@kernel
def run_decoders(instance, laws, until, end, last):
    """`sprint_ahead` where all that is in flight is a token for each decoder."""
    law, parameters = laws[STEP_TIME], laws[PARAMETERS]
    at, batch, pool, recorder, flights = instance.at, instance.batch, instance.pool, instance.recorder, instance.flights
    calendar, phase_count, class_count = batch.calendar, batch.phase_count, batch.class_count
    histogram, lone_class, num_classes = recorder.histogram, recorder.histogram[0], len(class_count)
    mask, period = len(calendar) - 1, len(phase_count)
    per_need = 1 + instance.limits.prealloc_blocks
    ahead, schedule_us = instance.limits.plans_ahead, instance.limits.schedule_us
    row = flights.plans[flights.at[OLDEST]]
    start, decoders, waiting = batch.at[STEPS], batch.at[DECODERS], instance.queue.at[LENGTH]
    now, free, context = at[NOW], pool.at[FREE], batch.at[BASE_SUM] + decoders * start
    last_seen, gpu_free, due = flights.at[LAST_SEEN], flights.at[GPU_FREE], row[PLAN_END]
    steps, phase, taken = start, start % period, int64(0)
    zero, longest = int64(0), int64(0)
    while now < until and steps < last and calendar[steps & mask] == NONE:
        need = phase_count[phase] * per_need
        if taken + need > free:
            break
        duration = step_time(law, zero, decoders, context, zero, zero, zero, zero, parameters)
        if duration < 1:
            if duration < 0:
                break
            duration = int64(1)
        planned_us = now + schedule_us
        over = max(planned_us, gpu_free) + duration
        seen = max(planned_us, due) if ahead else over
        gap = seen - last_seen
        if seen >= end or gap >= len(lone_class):
            break
        if num_classes == 1:
            lone_class[gap] += decoders
        else:
            for i in range(num_classes):
                histogram[i, gap] += class_count[i]
        longest = max(longest, gap)
        now = last_seen = seen
        due = gpu_free = over
        taken += need
        context += decoders
        steps += 1
        phase = phase + 1 if phase + 1 < period else zero
    if steps == start:
        return False
    take(pool, taken)
    pool.at[LEAST_FREE] = min(pool.at[LEAST_FREE], pool.at[FREE])
    recorder.at[HISTOGRAM_USED] = max(recorder.at[HISTOGRAM_USED], longest + 1)
    batch.at[STEPS] = steps
    at[QUEUE_SUM] += (steps - start) * waiting
    if ahead:
        at[QUEUE_SUM] += row[PLAN_WAITING] - waiting
        row[PLAN_STEP], row[PLAN_END], row[PLAN_WAITING] = steps - 1, due, waiting
    at[NOW] = at[WAKE] = now
    at[LEFT_WAITING] = waiting
    flights.at[LAST_SEEN], flights.at[GPU_FREE] = last_seen, gpu_free
    flights.at[NOTICE] = flights.at[VOID] = 0
    return True
