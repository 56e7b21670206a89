"""A Parquet trace as a TraceV2, in which nothing has been measured yet: every request is to be sent at its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blis.workload.parquet_trace import load_parquet_trace
from blis.workload.requests import RequestTable
from blis.workload.tracev2 import trace_paths, write_tracev2
from blis.workload.tracev2_header import TraceHeader
from blis.workload.tracev2_records import OK, TraceRecords, no_labels


def trace_files(header: Path) -> tuple[Path, Path, Path]:
    """All files that may be written with a header."""
    trace, content = trace_paths(header.with_suffix(""))
    return trace.header, trace.data, content


def write_tracev2_of(source: Path, header: Path) -> None:
    """Write a Parquet trace as a TraceV2: all its files, or none. Holds all of its columns in memory."""
    table = load_parquet_trace(source)
    write_tracev2(header.with_suffix(""), TraceHeader("generated"), _records(table), table)


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
