"""The data file of a TraceV2: a CSV of 22 columns or more (`later`), one row per request that was sent."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError, nearest
from blis.files.plain import line_of_no_text, open_plain
from blis.workload.labels import SLO_CLASSES, label_column, labels
from blis.workload.requests import MOST_TOKENS, MOST_US, Ints, Labels
from blis.workload.traces.tracev2 import later

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    *("request_id", "client_id", "tenant_id", "slo_class", "session_id", "round_index", "prefix_group", "streaming"),
    *("input_tokens", "output_tokens", "text_tokens", "image_tokens", "audio_tokens", "video_tokens", "reason_ratio"),
    *("arrival_time_us", "send_time_us", "first_chunk_time_us", "last_chunk_time_us", "num_chunks"),
    *("status", "error_message"),
)
#: How a request ended; its code is its place here.
STATUSES = ("ok", "error", "timeout")
OK, ERROR, TIMEOUT = range(3)

_NAMES = ("client_id", "tenant_id", "slo_class", "session_id", "prefix_group", "status", "error_message")
_MODALITIES = ("text_tokens", "image_tokens", "audio_tokens", "video_tokens")
#: Upper bounds of whole numbers; none may be negative.
_MOST = {
    "request_id": 2**62,
    "round_index": 2**62,
    **dict.fromkeys(("input_tokens", "output_tokens", *_MODALITIES, "num_chunks"), MOST_TOKENS),
    **dict.fromkeys(("arrival_time_us", "send_time_us", "first_chunk_time_us", "last_chunk_time_us"), MOST_US),
}
#: The header of a file is its first row.
_FIRST_ROW = 2
_EXPECTED = {"int64": "a whole number", "double": "a number", "bool": "true or false"}


@dataclass(frozen=True, eq=False)
class TraceRecords:
    """What a data file says, one row per request. Times are µs, 0 where something never happened.

    Attributes:
        request_id: (n,) numbers, each once.
        client: who sent it.
        tenant: on whose behalf.
        slo_class: its service class.
        session: its conversation.
        round_index: (n,) place in the conversation, from 0.
        prefix_group: whose shared prefix its prompt begins with.
        streaming: (n,) bool, whether the client read tokens as they came.
        input_tokens: (n,) prompt length, all of it.
        output_tokens: (n,) output length.
        modality_tokens: (n, 4) input tokens from text, images, audio and video; all 0: not said.
        reason_ratio: (n,) share of the output that is reasoning.
        arrival_us: (n,) when it was to be sent.
        send_us: (n,) when it was sent.
        first_chunk_us: (n,) when the first tokens came.
        last_chunk_us: (n,) when the last ones came.
        num_chunks: (n,) pieces in which they came.
        status: (n,) codes of `STATUSES`.
        error_message: what went wrong.
        prefix_length: (n,) tokens a prompt shares with its group; None: the file does not say.
        priority: (n,) vLLM's; None: the file does not say.
    """

    request_id: Ints
    client: Labels
    tenant: Labels
    slo_class: Labels
    session: Labels
    round_index: Ints
    prefix_group: Labels
    streaming: NDArray[np.bool_]
    input_tokens: Ints
    output_tokens: Ints
    modality_tokens: Ints
    reason_ratio: NDArray[np.float64]
    arrival_us: Ints
    send_us: Ints
    first_chunk_us: Ints
    last_chunk_us: Ints
    num_chunks: Ints
    status: Ints
    error_message: Labels
    prefix_length: Ints | None = None
    priority: Ints | None = None

    def __len__(self) -> int:
        return len(self.request_id)

    def take(self, rows: Ints) -> TraceRecords:
        """Some of the rows."""
        return TraceRecords(**{name: _rows_of(values, rows) for name, values in vars(self).items()})

    def merged(self, others: TraceRecords, rows: Ints) -> TraceRecords:
        """All rows together, the ``others`` in the places ``rows`` (ascending) among them."""
        order = np.empty(len(self) + len(others), dtype=np.int64)
        is_other = np.isin(np.arange(len(order)), rows)
        order[~is_other], order[is_other] = np.arange(len(self)), len(self) + np.arange(len(others))
        pairs = ((name, values, getattr(others, name)) for name, values in vars(self).items())
        return TraceRecords(**{name: _joined(mine, theirs) for name, mine, theirs in pairs}).take(order)


def no_labels(count: int) -> Labels:
    """What requests have that have no names."""
    return Labels(np.full(count, -1), ())


def _rows_of(values: Any, rows: Ints) -> Any:
    if values is None:
        return None
    return Labels(values.codes[rows], values.names) if isinstance(values, Labels) else values[rows]


def _joined(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return None
    if not isinstance(first, Labels):
        return np.concatenate((first, second))
    names = tuple(dict.fromkeys((*first.names, *second.names)))
    of_code = np.array([*map(names.index, second.names), -1])
    return Labels(np.concatenate((first.codes, of_code[second.codes])), names)


def write_records(records: TraceRecords, path: Path) -> None:
    """Write a data file; an existing one is overwritten."""
    import polars as pl

    def names(given: Labels) -> Any:
        return label_column(given, slice(0, len(records)))

    text, image, audio, video = records.modality_tokens.T
    columns = (
        *(records.request_id, names(records.client), names(records.tenant), names(records.slo_class)),
        *(names(records.session), records.round_index, names(records.prefix_group), records.streaming),
        *(records.input_tokens, records.output_tokens, text, image, audio, video, records.reason_ratio),
        *(records.arrival_us, records.send_us, records.first_chunk_us, records.last_chunk_us, records.num_chunks),
        *(names(Labels(records.status, STATUSES)), names(records.error_message)),
    )
    frame = pl.DataFrame([pl.Series(name, values) for name, values in zip(COLUMNS, columns, strict=True)])
    frame.write_csv(path, quote_style="necessary", float_scientific=False)


def read_records(path: Path, *, may_be_empty: bool = False) -> TraceRecords:
    """Read a data file and check every value.

    Args:
        path: of the file.
        may_be_empty: whether no requests at all are fine, too.

    Raises:
        WorkloadError: names the file, the row (the header is row 1, empty lines do not count) and the column.
    """
    table = _read_table(path)
    if not len(table) and not may_be_empty:
        raise WorkloadError(f"{path}: holds no requests")
    bounds = {name: most for name, most in (_MOST | later.WHOLE).items() if name in table.column_names}
    whole = {name: table[name].to_numpy() for name in bounds}
    for name, most in bounds.items():
        _refuse(path, name, whole[name], (whole[name] < 0) | (whole[name] > most), f"must lie in [0, {most}]")
    ratio = table["reason_ratio"].to_numpy()
    _refuse(path, "reason_ratio", ratio, ~((ratio >= 0) & (ratio <= 1)), "must lie in [0, 1]")
    _check_unique(path, whole["request_id"])
    named = {name: _labels(table[name], SLO_CLASSES if name == "slo_class" else ()) for name in _NAMES}
    later.warn_of_the_rest(path, table)
    return TraceRecords(
        request_id=whole["request_id"],
        client=named["client_id"],
        tenant=named["tenant_id"],
        slo_class=named["slo_class"],
        session=named["session_id"],
        round_index=whole["round_index"],
        prefix_group=named["prefix_group"],
        streaming=table["streaming"].to_numpy(),
        input_tokens=later.prompt_lengths(whole["input_tokens"], named["prefix_group"].codes >= 0, whole),
        output_tokens=whole["output_tokens"],
        modality_tokens=np.column_stack([whole[name] for name in _MODALITIES]),
        reason_ratio=ratio,
        arrival_us=whole["arrival_time_us"],
        send_us=whole["send_time_us"],
        first_chunk_us=whole["first_chunk_time_us"],
        last_chunk_us=whole["last_chunk_time_us"],
        num_chunks=whole["num_chunks"],
        status=_status_codes(path, named["status"]),
        error_message=named["error_message"],
        prefix_length=whole.get("prefix_length"),
        priority=whole.get("vllm_priority"),
    )


def _read_table(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    try:
        with open_plain(path) as file:
            data = file.read()
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror}") from None
    columns = _header(path, data)
    line = line_of_no_text(io.BytesIO(data))
    if line is not None:
        raise WorkloadError(f"{path}: no UTF-8 text, from line {line} on")
    if data.count(b'"') % 2:
        raise WorkloadError(f"{path}: a quote is never closed")
    uneven: list[Any] = []

    def keep(row: Any) -> str:
        uneven.append(row)
        return "skip"

    types = {name: pa.int64() for name in _MOST | later.WHOLE} | {"reason_ratio": pa.float64(), "streaming": pa.bool_()}
    types |= {name: pa.dictionary(pa.int32(), pa.string()) for name in _NAMES}
    types |= dict.fromkeys(later.TEXT, pa.string())
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(use_threads=False),  # else errors do not say in which row
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types, null_values=[], true_values=["true"], false_values=["false"]
            ),
        )
    except pa.ArrowInvalid as error:
        raise WorkloadError(f"{path}: {_explain(str(error), columns)}") from None
    if uneven:
        raise WorkloadError(
            f"{path}: row {uneven[0].number}: expected {len(columns)} fields, got {uneven[0].actual_columns}"
        )
    at = columns.index("error_message")
    return table.set_column(at, columns[at], pc.utf8_trim_whitespace(table[columns[at]].cast(pa.string())))


def _header(path: Path, data: bytes) -> Sequence[str]:
    """The names of the columns: all 22 in their order, and among them perhaps later ones."""
    line = data[: data.find(b"\n") + 1] or data
    text = line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    try:
        names: Sequence[str] = next(csv.reader([text]), [])
    except csv.Error:  # a lone carriage return, in a file that is none of text
        names = [text[:40]]
    ours = [
        (number, name) for number, name in enumerate(names, 1) if name not in later.WHOLE and name not in later.TEXT
    ]
    for (number, name), expected in zip(ours, COLUMNS, strict=False):
        if name != expected:
            raise WorkloadError(f"{path}: header: column {number} must be {expected}, got {name!r}")
    if len(ours) != len(COLUMNS):
        raise WorkloadError(
            f"{path}: header: expected the {len(COLUMNS)} columns {COLUMNS[0]} to {COLUMNS[-1]}, got {len(ours)}"
        )
    if len(set(names)) < len(names):
        raise WorkloadError(f"{path}: header: a column stands there twice: {', '.join(names)}")
    return names


def _explain(message: str, columns: Sequence[str]) -> str:
    """Say in the words of this format what Arrow says about a cell."""
    cell = re.match(r"In CSV column #(\d+): Row #(\d+): CSV conversion error to (\w+).*?: (.*)", message, re.DOTALL)
    if cell is None:
        return f"cannot be read as CSV: {message.splitlines()[0]}"
    column, row, kind, problem = cell.groups()
    value = re.match(r"invalid value (.*)", problem, re.DOTALL)
    found = "got " + (value.group(1) if value else problem)
    return f"row {row}: {columns[int(column)]}: expected {_EXPECTED.get(kind, 'text in UTF-8')}, {found}"


def _refuse(path: Path, name: str, values: NDArray[Any], bad: NDArray[np.bool_], rule: str) -> None:
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise WorkloadError(f"{path}: row {at + _FIRST_ROW}: {name}: {rule}, got {values[at]}")


def _check_unique(path: Path, request_id: Ints) -> None:
    order = np.argsort(request_id, kind="stable")
    twice = np.flatnonzero(np.diff(request_id[order]) == 0)
    if len(twice):
        first, again = (int(row) + _FIRST_ROW for row in order[twice[0] : twice[0] + 2])
        raise WorkloadError(
            f"{path}: row {again}: request_id: each number may occur once, got that of row {first} again"
        )


def _labels(column: Any, known: Sequence[str]) -> Labels:
    return labels(column, known) or no_labels(len(column))


def _status_codes(path: Path, given: Labels) -> Ints:
    known = [STATUSES.index(name) if name in STATUSES else -1 for name in given.names]
    codes = np.array([*known, -1])[given.codes]
    bad = np.flatnonzero(codes < 0)
    if len(bad):
        row = int(bad[0])
        name = given.names[given.codes[row]] if given.codes[row] >= 0 else ""
        raise WorkloadError(
            f"{path}: row {row + _FIRST_ROW}: status: unknown value {name!r}; {nearest(name, STATUSES)}"
        )
    return codes
