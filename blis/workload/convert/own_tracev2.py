"""TraceV2, blis's own and inference-sim's: its data file, and the header beside it or in place of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blis.workload.convert.source import Rows, Source
from blis.workload.labels import label_column
from blis.workload.traces.parquet import MEASURED
from blis.workload.traces.tracev2.header import TraceHeader, read_header
from blis.workload.traces.tracev2.records import OK, TraceRecords, read_records

#: What a data file is known by, and a header.
KNOWN_BY = ("request_id", "arrival_time_us", "send_time_us", "first_chunk_time_us")
HEADER_KEY = "trace_version:"
_HEADERS, _DATA = (".yaml", ".yml"), ".csv"


def read_tracev2_rows(source: Source) -> Iterator[Rows]:
    """Read lengths, names and, of measured traces, durations; who shares what is left out, and told.

    Raises:
        WorkloadError: a row is wrong.
        ConfigError: the header is.
    """
    data, header_path = _files(source)
    header = None if header_path is None else read_header(header_path)
    records = read_records(data)
    if header is None or header.mode == "real":
        failed = records.status != OK
        source.num_failed = int(failed.sum())
        records = records.take(np.flatnonzero(~failed))
    _tell(source, header, records)
    columns = _names(records) | (_durations(records) if header is None or header.mode == "real" else {})
    yield Rows(records.arrival_us, records.input_tokens, records.output_tokens, columns)


def _files(source: Source) -> tuple[Path, Path | None]:
    path = source.path
    if path.suffix.lower() in _HEADERS:
        if not path.with_suffix(_DATA).exists():
            raise source.error(f"is the header of a TraceV2, but there is no {path.with_suffix(_DATA).name} beside it")
        return path.with_suffix(_DATA), path
    name = (
        path.name[: path.name.lower().rfind(_DATA)] if _DATA in path.name.lower() else path.stem
    )  # t.csv.gz is packed
    found = [path.with_name(name + suffix) for suffix in _HEADERS if path.with_name(name + suffix).exists()]
    return path, found[0] if found else None


def _tell(source: Source, header: TraceHeader | None, records: TraceRecords) -> None:
    if header is None:
        source.assume("there is no header beside it: taken as measured, requests that failed are left out")
    extension = None if header is None else header.extension
    if extension is not None and extension.unsent_file is not None:
        source.doubt(f"the requests of {extension.unsent_file}, which were never sent, are left out")
    shares = (records.prefix_group.codes >= 0).any() or (records.session.codes >= 0).any()
    if shares if extension is None else extension.sharing != "none":
        source.doubt("what prompts share is left out, none has anything in common here; blis replay reads that")


def _names(records: TraceRecords) -> dict[str, Any]:
    given = {"tenant_id": records.tenant, "slo_class": records.slo_class, "session_id": records.session}
    everything = slice(0, len(records))
    return {name: label_column(labels, everything) for name, labels in given.items() if (labels.codes >= 0).any()}


def _durations(records: TraceRecords) -> dict[str, Any]:
    """The columns of what was measured, if all requests have it."""
    import pyarrow as pa

    since = [stamps - records.send_us for stamps in (records.first_chunk_us, records.last_chunk_us)]
    if not len(records) or (since[0] < 0).any() or (since[1] < since[0]).any():
        return {}
    return dict(zip(MEASURED, map(pa.array, since), strict=True))
