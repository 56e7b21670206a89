"""Traces in CSV with the token ids of every prompt and output (docs/workload-formats.md).

The file is read in blocks of bytes; compiled kernels split rows and turn token lists into int32 without
making a Python object per token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError
from blis.files.plain import open_plain
from blis.workload.requests import MOST_TOKENS, Ints, LiteralTokens, RequestTable

#: What the columns mean, by position. Names in the file do not matter.
COLUMNS = ("arrival_time", "request_id", "model", "prefill_tokens", "decode_tokens")
#: Columns of whole numbers that may stand behind them, by name, and the least and most of each; all others are ignored.
OPTIONAL = {"max_tokens": (0, MOST_TOKENS), "priority": (-(2**63), 2**63 - 1)}

Bytes = NDArray[np.uint8]

_BLOCK_BYTES = 1 << 24
_BLOCK_ROWS = 1 << 16
_MAX_CLOCK_US = 2**63 - 1
_EXCERPT_CHARS = 40
_MOST_COLUMNS = 256
_NEWLINE = ord("\n")


def load_csv_trace(path: Path, horizon_us: int | None = None) -> RequestTable:
    """Load a CSV trace with token ids.

    Args:
        path: the file.
        horizon_us: rows arriving later are left out (wherever they stand), but checked.

    Returns:
        Requests in the order of their rows, with their tokens. Arrivals are seconds times 1e6, cut to whole µs.

    Raises:
        WorkloadError: the file cannot be read, holds no requests, or a row is wrong; names the line.
    """
    loader = _Loader(path, _MAX_CLOCK_US if horizon_us is None else horizon_us)
    try:
        with open_plain(path) as file:
            for rows in _blocks(path, file):
                loader.add(rows)
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror}") from None
    return loader.table()


def read_csv_pieces(
    path: Path, file: BufferedIOBase, *, skip_bad_rows: bool = False
) -> Iterator[tuple[RequestTable | None, int]]:
    """Read a CSV trace with token ids piece by piece, so that little of it is in memory at a time.

    Args:
        path: of the file, for messages.
        file: the file.
        skip_bad_rows: leave out rows with wrong values instead of raising; the file must still fall into rows.

    Yields:
        The next requests (None: none in this piece), and how many rows among them were left out.

    Raises:
        WorkloadError: a row is wrong; names the line.
    """
    for rows in _blocks(path, file):
        yield _piece(path, rows, skip_bad_rows)


def _piece(path: Path, rows: _Rows, skip_bad_rows: bool) -> tuple[RequestTable | None, int]:
    """The requests of some rows, and how many were left out."""
    loader = _Loader(path, _MAX_CLOCK_US)
    num_bad = 0
    try:
        loader.add(rows)
    except WorkloadError:
        if not skip_bad_rows:
            raise
        loader = _Loader(path, _MAX_CLOCK_US)
        for row in range(len(rows.lines)):
            try:
                loader.add(replace(rows, bounds=rows.bounds[row : row + 1], lines=rows.lines[row : row + 1]))
            except WorkloadError:
                num_bad += 1
    return (loader.table() if loader.has_requests else None), num_bad


@dataclass(frozen=True)
class _Rows:
    """Some rows: text, where the fields of each start and end, the line each is on, places of optional columns."""

    text: Bytes
    bounds: Ints
    lines: Ints
    optional: dict[str, int]


def _blocks(path: Path, file: BufferedIOBase) -> Iterator[_Rows]:
    """Split the rows of a file behind its header; what was yielded is overwritten by the next ones."""
    from blis.workload.traces import _csv_kernels as kernels

    text = np.empty(_BLOCK_BYTES, dtype=np.uint8)
    bounds = np.empty((0, 0), dtype=np.int64)
    lines = np.empty(_BLOCK_ROWS, dtype=np.int64)
    optional: dict[str, int] | None = None
    start = size = num_fields = 0
    line = 1
    at_end = False
    while not at_end:
        text, size, at_end = _refill(file, text, start, size)
        start = 0
        if optional is None:
            optional = _optional_columns(path, text, size)
            if optional is None and not at_end:
                continue
            optional = optional or {}
            num_bounds = 2 * (1 + max(optional.values(), default=len(COLUMNS) - 1))
            bounds = np.empty((_BLOCK_ROWS, num_bounds), dtype=np.int64)
        status = kernels.FULL
        while status == kernels.FULL:
            count, num_fields, start, line, fields, status = kernels.split_rows(
                text, start, size, num_fields, line, bounds, lines
            )
            if 0 < num_fields < len(COLUMNS):
                names = ", ".join(COLUMNS)
                raise WorkloadError(f"{path}: expected a header of at least 5 columns ({names}), got {num_fields}")
            yield _Rows(text, bounds[:count], lines[:count], optional)
        if status == kernels.BAD_FIELD_COUNT:
            raise WorkloadError(f"{path}: line {line}: expected {num_fields} fields as in the header, got {fields}")
        if status == kernels.BAD_QUOTE:
            raise WorkloadError(f"{path}: line {line}: stray quote; a field with quotes must be quoted as a whole")
    if start < size:
        raise WorkloadError(f"{path}: line {line}: a quoted field is never closed")


def _optional_columns(path: Path, text: Bytes, size: int) -> dict[str, int] | None:
    """Where optional columns stand, by the header; None: the text ends before it does."""
    from blis.workload.traces import _csv_kernels as kernels

    bounds = np.empty(2 * _MOST_COLUMNS, dtype=np.int64)
    start, fields, names = 0, 1, [""]
    while fields == 1 and not names[0]:  # empty lines
        start, fields, _, status = kernels.split_row(text, start, size, bounds)
        if status != kernels.OK:
            return None if status == kernels.INCOMPLETE else {}
        fields = min(fields, _MOST_COLUMNS)
        ends = bounds[: 2 * fields].reshape(-1, 2).tolist()
        names = [text[first:last].tobytes().decode(errors="replace").strip() for first, last in ends]
    found: dict[str, int] = {}
    for place, name in enumerate(names[len(COLUMNS) :], start=len(COLUMNS)):
        if name in found:
            raise WorkloadError(f"{path}: {name}: two columns have this name")
        if name in OPTIONAL:
            found[name] = place
    return found


def _refill(file: BufferedIOBase, text: Bytes, start: int, size: int) -> tuple[Bytes, int, bool]:
    """Move what is left to the front and read on behind it; at the end, complete the last line."""
    rest = size - start
    larger = np.empty(2 * len(text), dtype=np.uint8) if 2 * rest >= len(text) else text
    larger[:rest] = text[start:size]
    got = file.readinto(larger.data[rest:-1])
    if not got and rest and larger[rest - 1] != _NEWLINE:
        larger[rest] = _NEWLINE
        rest += 1
    return larger, rest + got, not got


class _Loader:
    """Collects rows block by block."""

    def __init__(self, path: Path, horizon_us: int) -> None:
        self._path = path
        self._horizon_us = horizon_us
        self._tokens = np.empty(0, dtype=np.int32)
        self._num_tokens = 0
        self._has_rows = False
        self._parts: list[tuple[Ints, Ints, Ints]] = []
        self._optional: dict[str, list[Ints]] = {}

    def add(self, rows: _Rows) -> None:
        """Check some rows and append those that arrive in time."""
        from blis.workload.traces import _csv_kernels as kernels

        count = len(rows.lines)
        if count == 0:
            return
        self._has_rows = True
        arrival = self._arrivals(rows)
        keep = arrival <= self._horizon_us
        self._make_room(int(rows.bounds[-1, -1] - rows.bounds[0, 0]) // 2 + 1)  # "1," is the shortest token
        prompt = np.empty(count, dtype=np.int64)
        output = np.empty(count, dtype=np.int64)
        num_tokens, good, column, at, status = kernels.parse_rows(
            rows.text, rows.bounds, keep, self._tokens, self._num_tokens, prompt, output
        )
        if status != kernels.OK:
            start, end = (int(x) for x in rows.bounds[good, 2 * column : 2 * column + 2])
            problem = {
                kernels.NOT_A_LIST: "expected a JSON list of integers, got {}",
                kernels.OUT_OF_RANGE: f"token ids must lie in [0, {kernels.MAX_TOKEN_ID}], got {{}}",
                kernels.EMPTY_PROMPT: "a prompt must hold at least one token, got {}",
            }[status]
            raise self._error(rows, good, COLUMNS[column], problem.format(_excerpt(rows.text[start:end], at - start)))
        for name in rows.optional:
            self._optional.setdefault(name, []).append(self._numbers(rows, name, output)[keep])
        self._num_tokens = num_tokens
        self._parts.append((arrival[keep], prompt[keep], output[keep]))

    @property
    def has_requests(self) -> bool:
        """Whether anything was collected."""
        return bool(self._parts)

    def table(self) -> RequestTable:
        """What was collected."""
        if not self._has_rows:
            raise WorkloadError(f"{self._path}: holds no requests")
        arrival, prompt, output = (np.concatenate(columns) for columns in zip(*self._parts, strict=True))
        self._tokens.resize(self._num_tokens, refcheck=False)
        offsets = np.concatenate(([0], np.cumsum(prompt + output)))
        optional: dict[str, Any] = {name: np.concatenate(parts) for name, parts in self._optional.items()}
        return RequestTable(arrival, prompt, output, LiteralTokens(self._tokens, offsets), **optional)

    def _numbers(self, rows: _Rows, name: str, output: Ints) -> Ints:
        """An optional column; of a field that is empty what it means if there is no such column."""
        least, most = OPTIONAL[name]
        numbers = output.copy() if name == "max_tokens" else np.zeros(len(output), np.int64)
        column = 2 * rows.optional[name]
        for row, (start, end) in enumerate(rows.bounds[:, column : column + 2].tolist()):
            text = bytes(rows.text[start:end]).strip()
            if not text:
                continue
            try:
                number = int(text)
            except ValueError:
                number = most + 1
            floor = int(output[row]) if name == "max_tokens" else least
            if not floor <= number <= most:
                wanted = f"expected a whole number in [{floor}, {most}], got {_excerpt(rows.text[start:end], 0)}"
                raise self._error(rows, row, name, wanted)
            numbers[row] = number
        return numbers

    def _arrivals(self, rows: _Rows) -> Ints:
        arrival = np.empty(len(rows.lines), dtype=np.int64)
        text = rows.text.data
        for row, (start, end) in enumerate(rows.bounds[:, :2].tolist()):
            try:
                micros = float(bytes(text[start:end])) * 1e6
            except ValueError:
                micros = math.nan
            if not 0 <= micros < _MAX_CLOCK_US:
                problem = f"expected seconds >= 0, got {_excerpt(rows.text[start:end], 0)}"
                raise self._error(rows, row, COLUMNS[0], problem)
            arrival[row] = int(micros)
        return arrival

    def _make_room(self, num_tokens: int) -> None:
        needed = self._num_tokens + num_tokens
        if needed > len(self._tokens):
            self._tokens.resize(max(needed, len(self._tokens) * 5 // 4), refcheck=False)

    def _error(self, rows: _Rows, row: int, column: str, problem: str) -> WorkloadError:
        return WorkloadError(f"{self._path}: line {rows.lines[row]}: {column}: {problem}")


def _excerpt(field: Bytes, at: int) -> str:
    """Quote a field; of a long one what is around ``at``."""
    first = max(0, min(at - _EXCERPT_CHARS // 2, len(field) - _EXCERPT_CHARS))
    last = first + _EXCERPT_CHARS
    text = field[first:last].tobytes().decode(errors="replace")
    return repr(("…" if first else "") + text + ("…" if last < len(field) else ""))
