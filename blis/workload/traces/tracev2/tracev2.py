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
from numpy.typing import NDArray

from blis.errors import ConfigError, WorkloadError
from blis.files.digest import sha256
from blis.files.output import replacing
from blis.workload.requests import ClientDetails, Ints, Labels, RequestTable, Sessions, TokenStreams
from blis.workload.traces.tracev2.content import (
    Columns,
    extras,
    read_content,
    read_waits,
    waits,
    write_content,
)
from blis.workload.traces.tracev2.header import Extension, Sharing, TraceHeader, read_header, write_header
from blis.workload.traces.tracev2.records import OK, TraceRecords, read_records, write_records
from blis.workload.traces.tracev2.sharing import as_prefix_groups, of_prefix_groups, unsaid
from blis.workload.window import from_zero

_log = logging.getLogger("blis")


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
        replay = load_tracev2(self)
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
        table: the requests, open loop at their recorded times; those that were never sent wait as they did.
        horizon_us: end of the simulated time when the trace was made; None: there was none.
        num_failed: requests that are left out because they failed when they were measured.
    """

    table: RequestTable
    horizon_us: int | None
    num_failed: int


def trace_paths(prefix: Path) -> tuple[TraceV2, Path]:
    """The files that `write_tracev2` may write: header and data, and what they cannot say."""
    if not prefix.name:
        raise ConfigError(f"trace_output: must end in a name that files can begin with, got {str(prefix)!r}")
    header, data, content = (prefix.with_name(prefix.name + end) for end in (".yaml", ".csv", ".content.parquet"))
    return TraceV2(header, data), content


def unsent_path(prefix: Path) -> Path:
    """The file that `write_tracev2` may write besides, of requests that were never sent."""
    return prefix.with_name(f"{prefix.name}.unsent.csv")


def read_tracev2(trace: TraceV2) -> tuple[TraceHeader, TraceRecords]:
    """Read header and data file, every value checked: the requests that were sent, and what became of them.

    Raises:
        ConfigError: the header is wrong; names file and key.
        WorkloadError: the data file is wrong, or does not belong to the header; names file, row and column.
    """
    header = read_header(trace.header)
    extension = header.extension
    records = read_records(trace.data, may_be_empty=extension is not None and extension.num_requests == 0)
    if extension is not None and extension.num_requests != len(records):
        raise WorkloadError(
            f"{trace.data}: holds {len(records)} requests, but {trace.header} speaks of {extension.num_requests}"
        )
    return header, records


def write_tracev2(
    prefix: Path,
    header: TraceHeader,
    records: TraceRecords,
    table: RequestTable,
    horizon_us: int | None = None,
    unsent: NDArray[np.bool_] | None = None,
) -> None:
    """Write a trace whose replay is exactly the table: all its files, or none.

    Args:
        prefix: path of the files, without their suffixes.
        header: what to say of where they come from; its extension is made here.
        records: what happened to each request.
        table: the same requests, in the same order.
        horizon_us: end of the simulated time; None: there was none.
        unsent: (n,) which of them were never sent, because those they waited for did not end; None: all were sent.
    """
    sharing, group, lengths = _sharing(table, records.prefix_group)
    records = dataclasses.replace(records, prefix_group=group)
    columns = extras(table, _prefix_tokens(group, lengths))
    trace, content = trace_paths(prefix)
    others = None
    if unsent is not None and unsent.any() and table.sessions is not None:
        columns |= waits(table.sessions, unsent)
        others, records = (records.take(np.flatnonzero(chosen)) for chosen in (unsent, ~unsent))
    extension = Extension(
        num_requests=len(records),
        horizon_us=horizon_us,
        sharing=sharing,
        prefix_groups=lengths,
        content_file=content.name if columns or sharing == "file" else None,
        unsent_file=None if others is None else unsent_path(prefix).name,
        unlisted=table.unlisted,
    )
    with ExitStack() as files:  # closed in reverse order: the header appears last
        header_path, data_path = (files.enter_context(replacing(path)) for path in (trace.header, trace.data))
        if extension.content_file is not None:
            write_content(files.enter_context(replacing(content)), table, columns, with_tokens=sharing == "file")
        if others is not None:
            write_records(others, files.enter_context(replacing(unsent_path(prefix))))
        write_records(records, data_path)
        write_header(dataclasses.replace(header, extension=extension), header_path)


def load_tracev2(trace: TraceV2) -> Replay:
    """Load a trace for its replay.

    Requests come at their recorded arrival times, whatever they waited for when these were recorded; those that were
    never sent have none, and wait as they did. Measured traces lose the requests that failed, and begin at 0 if their
    stamps count from 1970.

    Args:
        trace: its files.

    Raises:
        InputError: a file is wrong, or nothing is left to replay; names file, and row and column or key.
    """
    header, records = read_tracev2(trace)
    extension = header.extension
    content: Any = None
    columns: Columns = {}
    if extension is not None:
        records = _with_unsent(trace, extension, records)
        content, columns = _said(trace, extension, records)
    else:
        content, columns["prefix_tokens"] = unsaid(records)
    if records.priority is not None:
        columns["priority"] = records.priority
    table = _table(trace.data, records, columns, content)
    horizon_us, unlisted = (None, 0) if extension is None else (extension.horizon_us, extension.unlisted)
    if header.mode != "real":
        return Replay(dataclasses.replace(table, unlisted=unlisted), horizon_us, 0)
    good = np.flatnonzero(records.status == OK)
    num_failed = len(records) - len(good)
    if not len(good):
        raise WorkloadError(f"{trace.data}: nothing to replay: {num_failed} of {len(records)} requests failed")
    return Replay(from_zero(table)[0].take(good), horizon_us, num_failed)


def _with_unsent(trace: TraceV2, extension: Extension, records: TraceRecords) -> TraceRecords:
    """The requests that were sent and those that were not, in the order in which they stood in the run."""
    if extension.unsent_file is None or extension.content_file is None:
        return records
    path = trace.header.parent / extension.unsent_file
    unsent = read_records(path)
    rows = read_waits(trace.header.parent / extension.content_file)
    if len(rows) != len(unsent) or rows[-1] >= len(records) + len(unsent):
        raise WorkloadError(f"{path}: does not fit {extension.content_file}, which speaks of {len(rows)} such requests")
    return records.merged(unsent, rows)


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
        sessions=_sessions(records, columns) if has_sessions or "after" in columns else None,
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
        max_tokens=columns.get("max_tokens"),
    )


def _if_any(labels: Labels) -> Labels | None:
    return labels if (labels.codes >= 0).any() else None


def _sessions(records: TraceRecords, columns: Columns) -> Sessions:
    """Conversations without their loops, where they were sent: each round comes at its recorded time."""
    count, session = len(records), records.session
    numbers = [re.fullmatch(r"session_(\d{1,18})", name) for name in session.names]
    if all(numbers):
        of_code = np.array([*(int(number[1]) for number in numbers if number), -1], dtype=np.int64)
        codes = of_code[session.codes]
    else:
        codes = session.codes
    after, think_us = columns.get("after", np.full(count, -1)), columns.get("think_us", np.zeros(count, dtype=np.int64))
    return Sessions(codes, records.round_index, after, think_us)
