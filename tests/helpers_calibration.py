"""Measured traces and outcomes of their replay, made by hand."""

import dataclasses

import numpy as np
import yaml
from helpers_outcomes import CLIENT_US, ints, make_outcomes

from blis._core.codes import NEVER, RequestStatus
from blis.workload.labels import SLO_CLASSES, labels
from blis.workload.traces.tracev2.header import TraceHeader, write_header
from blis.workload.traces.tracev2.records import OK, TraceRecords, no_labels, write_records
from blis.workload.traces.tracev2.tracev2 import TraceV2

#: Measured clocks count from 1970.
EPOCH_US = 1_763_989_200_000_000


def measured(*rows, epoch_us=EPOCH_US, **columns):
    """Records of rows (sent, TTFT, E2E, input, output), times in µs; further columns replace what is usual.

    A TTFT or E2E of None: no such stamp.
    """
    sent, ttft, e2e, inputs, outputs = zip(*rows, strict=True)
    count, sent = len(rows), ints(*sent) + epoch_us

    def stamps(durations):
        return ints(*(0 if after is None else start + after for start, after in zip(sent, durations, strict=True)))

    usual = TraceRecords(
        request_id=np.arange(count),
        client=no_labels(count),
        tenant=no_labels(count),
        slo_class=no_labels(count),
        session=no_labels(count),
        round_index=np.zeros(count, np.int64),
        prefix_group=no_labels(count),
        streaming=np.full(count, True),
        input_tokens=ints(*inputs),
        output_tokens=ints(*outputs),
        modality_tokens=np.zeros((count, 4), np.int64),
        reason_ratio=np.zeros(count),
        arrival_us=sent,
        send_us=sent,
        first_chunk_us=stamps(ttft),
        last_chunk_us=stamps(e2e),
        num_chunks=ints(*outputs),
        status=np.full(count, OK),
        error_message=no_labels(count),
    )
    return dataclasses.replace(usual, **columns)


def simulated(*rows, numbers=None, metadata=None, interrupted=False):
    """Outcomes of rows (arrival, TTFT, E2E, input, output), times in µs as the client sees them.

    An E2E of None: it got its first token but did not finish.
    """
    outcomes = make_outcomes([_sim_row(*row) for row in rows], metadata=metadata, interrupted=interrupted)
    if numbers is None:
        return outcomes
    table = dataclasses.replace(outcomes.table, request_number=ints(*numbers))
    return dataclasses.replace(outcomes, table=table)


def _sim_row(arrival, ttft, e2e, inputs, outputs):
    first = arrival + ttft - CLIENT_US
    if e2e is None:
        return (arrival, inputs, outputs, arrival, first, NEVER, 1, RequestStatus.RUNNING, 0)
    finished = arrival + e2e - outputs * CLIENT_US
    return (arrival, inputs, outputs, arrival, first, finished, outputs, RequestStatus.COMPLETED, 0)


def steady(count=60, *, factor=1.0, seed=0):
    """Rows of a server under steady load: ten requests a second, each of about a second, as measured.

    Args:
        count: of requests.
        factor: by which to stretch the durations; those of the simulation, say.
        seed: of the durations.
    """
    rng = np.random.default_rng(seed)
    ttft = rng.integers(20_000, 80_000, count)
    outputs, tpot = rng.integers(50, 150, count), rng.integers(8_000, 12_000, count)
    e2e = ttft + tpot * (outputs - 1)
    return [(100_000 * i, round(factor * ttft[i]), round(factor * e2e[i]), 100, outputs[i]) for i in range(count)]


def classes(*names):
    """Service classes by name, None: none."""
    return labels(names, SLO_CLASSES)


def write_trace(folder, records, **header):
    """A trace's files; the header as in YAML."""
    trace = TraceV2(folder / "real.yaml", folder / "real.csv")
    write_records(records, trace.data)
    if not header:
        write_header(TraceHeader("real", warm_up_requests=0), trace.header)
        return trace
    trace.header.write_text(yaml.safe_dump({"trace_version": 2, "time_unit": "microseconds", "mode": "real"} | header))
    return trace
