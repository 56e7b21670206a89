"""A Parquet trace as a TraceV2: what is to be sent, or what was sent and measured if the trace says that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from blis.workload.requests import Ints, RequestTable
from blis.workload.traces.parquet import load_parquet_trace, measured_durations
from blis.workload.traces.tracev2.header import TraceHeader
from blis.workload.traces.tracev2.records import OK, TraceRecords, no_labels
from blis.workload.traces.tracev2.tracev2 import trace_paths, write_tracev2


def trace_files(header: Path) -> tuple[Path, Path, Path]:
    """All files that may be written with a header."""
    trace, content = trace_paths(header.with_suffix(""))
    return trace.header, trace.data, content


def write_tracev2_of(source: Path, header: Path) -> None:
    """Write a Parquet trace as a TraceV2: all its files, or none. Holds all of its columns in memory."""
    table, measured = load_parquet_trace(source), measured_durations(source)
    records = _records(table)
    if measured is not None:
        records = _with_durations(records, *measured)
    write_tracev2(header.with_suffix(""), TraceHeader("generated" if measured is None else "real"), records, table)


def _with_durations(records: TraceRecords, ttft_us: Ints, e2e_us: Ints) -> TraceRecords:
    """The same with what was measured; each token counts as one piece if they did not all come at once."""
    streaming = e2e_us > ttft_us
    return dataclasses.replace(
        records,
        streaming=streaming,
        first_chunk_us=records.send_us + ttft_us,
        last_chunk_us=records.send_us + e2e_us,
        num_chunks=np.where(streaming, records.output_tokens, 1),
    )


def _records(table: RequestTable) -> TraceRecords:
    count = len(table)
    nothing, nobody = np.zeros(count, dtype=np.int64), no_labels(count)
    return TraceRecords(
        request_id=table.numbers,
        client=nobody,
        tenant=table.tenant or nobody,
        slo_class=table.slo_class or nobody,
        session=nobody,
        round_index=nothing,
        prefix_group=nobody,
        streaming=np.zeros(count, dtype=np.bool_),
        input_tokens=table.input_tokens,
        output_tokens=table.output_tokens,
        modality_tokens=np.zeros((count, 4), dtype=np.int64),
        reason_ratio=np.zeros(count),
        arrival_us=table.arrival_us,
        send_us=table.arrival_us,
        first_chunk_us=nothing,
        last_chunk_us=nothing,
        num_chunks=nothing,
        status=np.full(count, OK),
        error_message=nobody,
    )
