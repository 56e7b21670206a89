"""After a step: tokens appear, requests finish."""

from __future__ import annotations

from numba import int64

from blis._core.allocation import give_back
from blis._core.batch import become_decoder, close_slot, insert_by_admission, leave_decoders
from blis._core.codes import NEVER, NONE, LogRecord, RequestStatus
from blis._core.jit import kernel
from blis._core.recorder import log, record_gap, record_gaps
from blis._core.state import DECODERS, ENDED, EXPLICIT, FINISHED, FUTILE, STEPS

LOG_FINISHED = int(LogRecord.FINISHED)
COMPLETED = int(RequestStatus.COMPLETED)


@kernel
def collect_results(instance, end_us, gap_us):
    """The step is over: tokens appear, some requests finish and release their blocks in running order."""
    batch, gap_class = instance.batch, instance.requests.gap_class
    at = batch.at
    finishing = batch.calendar[at[STEPS] & (len(batch.calendar) - 1)]
    if at[DECODERS] > 0:
        instance.at[FUTILE] = 0
        record_gaps(instance.recorder, batch.class_count, gap_us)
    at[STEPS] += 1
    count = int64(0)
    slot = int64(finishing)
    while slot != NONE:
        following = batch.calendar_next[slot]
        leave_decoders(batch, slot, int64(gap_class[batch.request[slot]]), instance.limits, int64(0))
        insert_by_admission(batch.scratch, count, slot, batch.admission)
        count += 1
        slot = following
    kept = int64(0)
    for i in range(at[EXPLICIT]):
        slot = batch.explicit[i]
        batch.computed[slot] += batch.scheduled[slot]
        caught_up = batch.scheduled[slot] > 0 and batch.computed[slot] == batch.known[slot]
        batch.scheduled[slot] = 0
        if not caught_up:
            batch.explicit[kept] = slot
            kept += 1
        elif give_token(instance, slot, end_us):
            insert_by_admission(batch.scratch, count, slot, batch.admission)
            count += 1
    at[EXPLICIT] = kept
    instance.at[ENDED] = count
    for i in range(count):
        finish(instance, batch.scratch[i], end_us)


@kernel
def give_token(instance, slot, end_us):
    """An explicit slot has caught up with what it knows and gets a token. True: that was its last."""
    batch, requests = instance.batch, instance.requests
    request = batch.request[slot]
    prompt, output = requests.prompt_tokens[request], requests.output_tokens[request]
    gap_class = int64(requests.gap_class[request])
    instance.at[FUTILE] = 0
    if output == 0:
        return True
    if requests.first_token_us[request] == NEVER:
        requests.first_token_us[request] = end_us
    else:
        record_gap(instance.recorder, gap_class, end_us - requests.last_token_us[request], int64(1))
    requests.last_token_us[request] = end_us
    if batch.known[slot] + 1 == prompt + output:
        return True
    become_decoder(batch, slot, prompt + output, int64(requests.num_shared[request]), gap_class, instance.limits)
    return False


@kernel
def finish(instance, slot, end_us):
    """A request is done."""
    batch, requests = instance.batch, instance.requests
    request = batch.request[slot]
    give_back(instance, slot, batch.computed[slot], int64(NONE))
    requests.last_token_us[request] = end_us
    requests.produced_tokens[request] = requests.output_tokens[request]
    requests.status[request] = COMPLETED
    instance.at[FINISHED] += 1
    close_slot(batch, slot)
    if instance.limits.logging:
        log(instance.recorder, int64(LOG_FINISHED), request, int64(0), int64(0))
