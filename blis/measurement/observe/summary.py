"""What a measurement says, as figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from blis.measurement.observe.records import input_tokens_of, output_tokens_of
from blis.measurement.observe.sample import Sample
from blis.outcomes.metrics.latency import duration_figures
from blis.workload.requests import Ints, RequestTable
from blis.workload.traces.tracev2.records import ERROR, OK, TIMEOUT

#: A client that sends half of its requests later than this does not send what it was asked to.
SATURATED_US = 10_000
_MOST_MESSAGES = 20


def summarise(
    table: RequestTable, samples: Sequence[Sample], *, streaming: bool, warm_up_requests: int, interrupted: bool
) -> dict[str, Any]:
    """The figures of a measurement.

    Latencies and rates are of requests that were answered (``ok``) and are not warm-up; counts, lateness and errors
    are of all.

    Args:
        table: all requests.
        samples: those that are over.
        streaming: whether tokens were read as they came; if not, nothing is known of the first one.
        warm_up_requests: requests numbered below it are not judged.
        interrupted: the measurement was ended early.
    """
    sent = [sample for sample in samples if sample.send_us]
    counts = Counter(sample.status for sample in samples)
    judged = [s for s in samples if s.status == OK and table.numbers[s.row] >= warm_up_requests]
    return {
        "requests": len(table),
        "sent": len(sent),
        "ok": counts[OK],
        "error": counts[ERROR],
        "timeout": counts[TIMEOUT],
        "not_sent": len(table) - len(sent),
        "warm_up_requests": min(warm_up_requests, len(table)),
        "judged": len(judged),
        "interrupted": interrupted,
        **_rates(table, judged, sent, streaming),
        **_latencies(table, judged, streaming),
        **lateness(sent),
        "missing_usage": sum(s.status == OK and None in (s.input_tokens, s.output_tokens) for s in samples),
        "unreadable_chunks": sum(sample.num_unreadable for sample in samples),
        "errors": dict(Counter(s.error for s in samples if s.error).most_common(_MOST_MESSAGES)),
    }


def _rates(table: RequestTable, judged: list[Sample], sent: list[Sample], streaming: bool) -> dict[str, Any]:
    duration_s = sent_per_s = None
    if judged:
        duration_s = (max(s.last_chunk_us for s in judged) - min(s.send_us for s in judged)) / 1e6
    if len(sent) > 1:
        span_us = max(s.send_us for s in sent) - min(s.send_us for s in sent)
        sent_per_s = (len(sent) - 1) * 1e6 / span_us if span_us else None
    tokens_in = sum(input_tokens_of(s, table) for s in judged)
    tokens_out = sum(output_tokens_of(s, table, streaming) for s in judged)
    return {
        "duration_s": duration_s,
        "sent_per_sec": sent_per_s,
        "responses_per_sec": len(judged) / duration_s if duration_s else None,
        "tokens_per_sec": tokens_out / duration_s if duration_s else None,
        "total_input_tokens": tokens_in,
        "total_output_tokens": tokens_out,
    }


def _latencies(table: RequestTable, judged: list[Sample], streaming: bool) -> dict[str, float | None]:
    ttft_us = _ints([s.first_chunk_us - s.send_us for s in judged] if streaming else [])
    e2e_us = _ints([s.last_chunk_us - s.send_us for s in judged])
    gaps = [np.diff(s.chunk_us) for s in judged] if streaming else []
    tpot_us = np.array(
        [
            (s.last_chunk_us - s.first_chunk_us) / (tokens - 1)
            for s in (judged if streaming else ())
            if (tokens := output_tokens_of(s, table, streaming)) > 1
        ]
    )
    return {
        **duration_figures("ttft", ttft_us),
        **duration_figures("e2e", e2e_us),
        **duration_figures("itl", np.concatenate(gaps) if gaps else _ints([])),
        **duration_figures("tpot", tpot_us),
    }


def lateness(sent: Sequence[Sample]) -> dict[str, Any]:
    """How much later than intended requests were sent, and whose fault it is if that is too much.

    Args:
        sent: requests that were sent.
    """
    late_us = _ints([s.send_us - s.intended_us for s in sent])
    own_us = late_us - _ints([s.slot_wait_us for s in sent])
    saturated_by = None
    if len(late_us) and np.median(late_us) > SATURATED_US:
        saturated_by = "client" if np.median(own_us) > SATURATED_US else "max_concurrency"
    figures = duration_figures("lateness", late_us)
    return {
        **{f"lateness_{name}_ms": figures[f"lateness_{name}_ms"] for name in ("mean", "p50", "p99")},
        "lateness_max_ms": int(late_us.max()) / 1000 if len(late_us) else None,
        "waited_for_a_slot": sum(s.slot_wait_us > SATURATED_US for s in sent),
        "saturated": saturated_by is not None,
        "saturated_by": saturated_by,
    }


def _ints(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)
