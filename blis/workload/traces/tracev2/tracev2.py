"""TraceV2: recorded requests as a YAML header and a CSV data file, and how they are replayed (docs/tracev2.md)."""

from __future__ import annotations

import dataclasses
import logging
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blis.errors import WorkloadError
from blis.files.digest import sha256
from blis.files.output import replacing
from blis.workload.requests import ClientDetails, Ints, Labels, RequestTable, Sessions, TokenStreams
from blis.workload.traces.tracev2.content import Columns, extras, read_content, write_content
from blis.workload.traces.tracev2.header import Extension, Sharing, TraceHeader, read_header, write_header
from blis.workload.traces.tracev2.records import OK, TraceRecords, read_records, write_records
from blis.workload.traces.tracev2.sharing import as_prefix_groups, of_prefix_groups, unsaid

_log = logging.getLogger("blis")

#: Measured stamps from here on count from 1970, not from the start of the measurement.
_EPOCH_US = 10**15


@dataclass(frozen=True)
class TraceV2:
    """The two files of a trace.

    Attributes:
        header: YAML.
        data: CSV.
    """

    header: Path
    data: Path

    @property
    def seed(self) -> None:
        """Nothing is drawn."""

    def requests(self, seed: int, horizon_us: int | None = None) -> RequestTable:
        """Load it for its replay (`load_tracev2`); a warning says how many requests are left out."""
        replay = load_tracev2(self, horizon_us)
        if replay.num_failed:
            _log.warning(
                "%s: %d requests failed when they were measured; they are left out", self.data, replay.num_failed
            )
        return dataclasses.replace(replay.table, horizon_us=replay.horizon_us)

    def describe(self) -> dict[str, Any]:
        """Paths, and the digest of the data."""
        return {"kind": "tracev2", "header": str(self.header), "path": str(self.data), "sha256": sha256(self.data)}


@dataclass(frozen=True, eq=False)
class Replay:
    """What a trace asks for when it is replayed.

    Attributes:
        table: the requests, open loop at their recorded times.
        horizon_us: end of the simulated time when the trace was made; None: there was none.
        num_failed: requests that are left out because they failed when they were measured.
    """

    table: RequestTable
    horizon_us: int | None
    num_failed: int


def trace_paths(prefix: Path) -> tuple[TraceV2, Path]:
    """The files that `write_tracev2` may write: header and data, and what they cannot say."""
    header, data, content = (prefix.with_name(prefix.name + end) for end in (".yaml", ".csv", ".content.parquet"))
    return TraceV2(header, data), content


def read_tracev2(trace: TraceV2) -> tuple[TraceHeader, TraceRecords]:
    """Read header and data file, every value checked.

    Raises:
        ConfigError: the header is wrong; names file and key.
        WorkloadError: the data file is wrong, or does not belong to the header; names file, row and column.
    """
    header = read_header(trace.header)
    records = read_records(trace.data)
    extension = header.extension
    if extension is not None and extension.num_requests != len(records):
        raise WorkloadError(
            f"{trace.data}: holds {len(records)} requests, but {trace.header} speaks of {extension.num_requests}"
        )
    return header, records


def write_tracev2(
    prefix: Path, header: TraceHeader, records: TraceRecords, table: RequestTable, horizon_us: int | None = None
) -> None:
    """Write a trace whose replay is exactly the table: all its files, or none.

    Args:
        prefix: path of the files, without their suffixes.
        header: what to say of where they come from; its extension is made here.
        records: what happened to each request.
        table: the same requests, in the same order.
        horizon_us: end of the simulated time; None: there was none.
    """
    sharing, group, lengths = _sharing(table, records.prefix_group)
    records = dataclasses.replace(records, prefix_group=group)
    columns = extras(table, _prefix_tokens(group, lengths))
    trace, content = trace_paths(prefix)
    has_content = bool(columns) or sharing == "file"
    extension = Extension(len(records), horizon_us, sharing, lengths, content.name if has_content else None)
    with ExitStack() as files:  # closed in reverse order: the header appears last
        header_path, data_path = (files.enter_context(replacing(path)) for path in (trace.header, trace.data))
        if has_content:
            write_content(files.enter_context(replacing(content)), table, columns, with_tokens=sharing == "file")
        write_records(records, data_path)
        write_header(dataclasses.replace(header, extension=extension), header_path)


def load_tracev2(trace: TraceV2, horizon_us: int | None = None) -> Replay:
    """Load a trace for its replay.

    Requests come at their recorded arrival times, whatever they waited for when these were recorded. Measured
    traces lose the requests that failed, and begin at 0 if their stamps count from 1970; simulated ones are taken
    as they are.

    Args:
        trace: its files.
        horizon_us: requests arriving later are left out, but checked.

    Raises:
        InputError: a file is wrong, or nothing is left to replay; names file, and row and column or key.
    """
    header, records = read_tracev2(trace)
    content: Any = None
    columns: Columns = {}
    if header.extension is not None:
        content, columns = _said(trace, header.extension, records)
    else:
        content, columns["prefix_tokens"] = unsaid(records)
    table = _table(trace.data, records, columns, content)
    keep = np.full(len(records), True)
    if header.mode == "real":
        keep = records.status == OK
        table = _from_zero(table)
    num_failed = int((~keep).sum())
    if horizon_us is not None:
        keep &= table.arrival_us <= horizon_us
    if not keep.any():
        raise WorkloadError(f"{trace.data}: nothing to replay: {num_failed} of {len(records)} requests failed")
    recorded_us = None if header.extension is None else header.extension.horizon_us
    return Replay(table.take(np.flatnonzero(keep)), recorded_us, num_failed)


def _sharing(table: RequestTable, group: Labels) -> tuple[Sharing, Labels, dict[str, int]]:
    """How to say who shares tokens: the way, the group of each request, and the tokens each group shares."""
    if table.content is None:
        return "none", group, {}
    found = as_prefix_groups(table.content, group) if isinstance(table.content, TokenStreams) else None
    if found is None:
        return "file", group, {}
    return ("prefix_groups" if found[1] else "none"), *found


def _prefix_tokens(group: Labels, lengths: dict[str, int]) -> Ints:
    of_code = np.array([*(lengths.get(name, 0) for name in group.names), 0], dtype=np.int64)
    return of_code[group.codes]


def _said(trace: TraceV2, extension: Extension, records: TraceRecords) -> tuple[Any, Columns]:
    """Token content and further columns as our own traces say them."""
    prefix_tokens = _prefix_tokens(records.prefix_group, dict(extension.prefix_groups))
    columns: Columns = {"prefix_tokens": prefix_tokens}
    content = None
    if extension.content_file is not None:
        path = trace.header.parent / extension.content_file
        more, content = read_content(path, records.input_tokens, records.output_tokens)
        columns |= more
        if (content is None) == (extension.sharing == "file"):
            raise WorkloadError(f"{path}: does not fit sharing {extension.sharing} in {trace.header}")
    if extension.sharing == "prefix_groups":
        content = of_prefix_groups(records.prefix_group, prefix_tokens)
    return content, columns


def _table(path: Path, records: TraceRecords, columns: Columns, content: Any) -> RequestTable:
    count = len(records)
    empty = np.flatnonzero((records.input_tokens < 1) & (records.status == OK))
    if len(empty):
        raise WorkloadError(f"{path}: row {int(empty[0]) + 2}: input_tokens: a prompt must hold at least one token")
    has_sessions = (records.session.codes >= 0).any()
    return RequestTable(
        records.arrival_us,
        np.maximum(records.input_tokens, 1),  # of failed ones it may be unknown
        records.output_tokens,
        content,
        priority=columns.get("priority"),
        slo_class=_if_any(records.slo_class),
        tenant=_if_any(records.tenant),
        sessions=_sessions(records) if has_sessions else None,
        details=ClientDetails(
            client=records.client,
            prefix_group=records.prefix_group,
            prefix_tokens=columns["prefix_tokens"],
            streaming=records.streaming,
            modality_tokens=records.modality_tokens,
            reason_ratio=records.reason_ratio,
            rtt_us=columns.get("rtt_us", np.zeros(count, dtype=np.int64)),
            bandwidth_mbps=columns.get("bandwidth_mbps", np.zeros(count)),
        ),
        request_number=records.request_id,
    )


def _if_any(labels: Labels) -> Labels | None:
    return labels if (labels.codes >= 0).any() else None


def _sessions(records: TraceRecords) -> Sessions:
    """Conversations without their loops: each round is sent at its recorded time."""
    count, session = len(records), records.session
    numbers = [re.fullmatch(r"session_(\d{1,18})", name) for name in session.names]
    if all(numbers):
        of_code = np.array([*(int(number[1]) for number in numbers if number), -1], dtype=np.int64)
        codes = of_code[session.codes]
    else:
        codes = session.codes
    return Sessions(codes, records.round_index, np.full(count, -1), np.zeros(count, dtype=np.int64))


def _from_zero(table: RequestTable) -> RequestTable:
    """Stamps that count from 1970, counted from the first arrival."""
    first = int(table.arrival_us.min())
    return dataclasses.replace(table, arrival_us=table.arrival_us - first) if first >= _EPOCH_US else table
