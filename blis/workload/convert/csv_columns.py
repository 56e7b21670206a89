"""CSV files with a header: some of their columns, piece by piece, with the line of each row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.workload.convert.source import MOST_LENGTH, Source, line_blocks
from blis.workload.requests import MOST_US, Ints


class Columns:
    """The wanted columns of some rows, as text.

    Args:
        source: where wrong fields are reported.
        lines: (n,) the line each row stands on.
        table: Arrow columns of strings.
        word: what is counted, if not lines.
    """

    def __init__(self, source: Source, lines: Ints, table: Any, word: str = "line") -> None:
        self._source, self._lines, self._table, self._word = source, lines, table, word
        self._wrong: dict[int, str] = {}

    def lengths(self, name: str) -> Ints:
        """Numbers of tokens; what is none is noted as wrong and 0."""
        import pyarrow as pa

        values = self._cast(name, pa.int64(), "a whole number")
        return self._within(name, values, 0, MOST_LENGTH, "a whole number").astype(np.int64)

    def whole_lengths(self, name: str) -> Ints:
        """The same where whole numbers may be written with a fraction of zero, as pandas does beside missing ones."""
        import pyarrow.compute as pc

        text = pc.replace_substring_regex(pc.utf8_trim_whitespace(self._table[name]), r"^(\d+)\.0+$", r"\1")
        self._table = self._table.set_column(self._table.column_names.index(name), name, text)
        return self.lengths(name)

    def some_numbers(self, name: str, most: int) -> list[float]:
        """The first numbers of a column, none if what stands there first is no number."""
        values = [text for text in self._table[name][:most].to_pylist() if text]
        try:
            float(values[0] if values else "")
        except ValueError:
            return []
        return [value for value in map(_number, values) if value is not None]

    def times_us(self, name: str, us_per_unit: float) -> Ints:
        """Times of some unit as whole µs."""
        import pyarrow as pa

        times = self._cast(name, pa.float64(), "a number")
        times = np.where(np.isnan(times), np.inf, times)
        most = int(MOST_US / us_per_unit)
        times = self._within(name, times, -most, most, "a number")
        micros: Ints = np.rint(times * us_per_unit).astype(np.int64)
        return micros

    def dates_us(self, name: str) -> Ints:
        """Dates with times as µs since 1970, cut to whole ones; without a time zone they are taken as UTC."""
        import pyarrow as pa
        import pyarrow.compute as pc

        text = self._table[name].combine_chunks()
        zoned = pc.match_substring_regex(text, r"(Z|[+-]\d\d:?\d\d)$")
        text = pc.if_else(zoned, text, pc.binary_join_element_wise(text, "Z", ""))
        stamps = self._cast(name, pa.timestamp("ns", "UTC"), "a date with time", text, "1970-01-01 00:00:00Z")
        micros: Ints = stamps.astype(np.int64) // 1000
        return micros

    def names(self, name: str) -> Any:
        """A column of names; empty ones are null."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._table[name].combine_chunks()
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)

    def __contains__(self, name: str) -> bool:
        return name in self._table.column_names

    def good(self) -> NDArray[np.bool_]:
        """Report the rows with a wrong field, each once, and say which have none."""
        keep = np.full(len(self._lines), True)
        for row in sorted(self._wrong):
            keep[row] = False
            self._source.bad_row(f"{self._word} {self._lines[row]}", self._wrong[row])
        return keep

    def _cast(self, name: str, kind: Any, expected: str, text: Any = None, filler: str = "0") -> NDArray[Any]:
        import pyarrow as pa

        text = self._table[name].combine_chunks() if text is None else text
        try:
            values: NDArray[Any] = text.cast(kind).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            bad = [row for row, field in enumerate(text) if not _can_cast(field, kind)]
            for row in bad:
                self._note(row, name, expected)
            mask = np.isin(np.arange(len(text)), bad)
            return self._cast(name, kind, expected, _replace(text, mask, filler), filler)
        return values

    def _within(self, name: str, values: NDArray[Any], least: int, most: int, expected: str) -> NDArray[Any]:
        outside = (values < least) | (values > most)
        for row in np.flatnonzero(outside).tolist():
            self._note(row, name, f"{expected} in [{least}, {most}]")
        return np.where(outside, 0, values)

    def _note(self, row: int, name: str, expected: str) -> None:
        found = self._table[name][row].as_py()
        self._wrong.setdefault(row, f"{name}: expected {expected}, got {found[:40]!r}")


def csv_columns(source: Source, wanted: Sequence[str], needed: int) -> Iterator[Columns]:
    """Read some columns of a CSV file whose fields hold no line ends.

    Args:
        source: the file.
        wanted: names of columns.
        needed: so many of them, the first ones, must be there.

    Raises:
        WorkloadError: a column is missing, or a row has another number of fields than the header.
    """
    with source.open() as file:
        header = _fields(file.readline().decode("utf-8-sig", errors="replace"))
        if header is None:
            raise source.error("line 1: no names of columns")
        for name in wanted[:needed]:
            if header.count(name) != 1:
                problem = "stands there twice" if name in header else "is missing"
                raise source.error(f"line 1: column {name!r} {problem}; found: {', '.join(header)[:200]}")
        kept = [name for name in wanted if header.count(name) == 1]
        for line, block in line_blocks(file, 2):
            lines, table = _parse(source, line, block, header, kept)
            if len(lines):
                yield Columns(source, lines, table)


def _parse(source: Source, line: int, block: bytes, header: list[str], kept: list[str]) -> tuple[Ints, Any]:
    """The rows of a piece, and the line of each."""
    import pyarrow as pa

    num_lines = block.count(b"\n") + (not block.endswith(b"\n"))
    try:
        table = _read(block, header, kept)
        if len(table) == num_lines:
            return line + np.arange(num_lines), table
    except pa.ArrowInvalid:
        pass
    good = list(_good_lines(source, line, block, len(header)))
    table = _read("".join(text + "\n" for _, text in good).encode(), header, kept)
    return np.array([number for number, _ in good], dtype=np.int64), table


def _good_lines(source: Source, line: int, block: bytes, num_fields: int) -> Iterator[tuple[int, str]]:
    """Lines that are neither empty nor of another number of fields, with their numbers."""
    for number, text in enumerate(block.decode(errors="replace").split("\n"), line):
        fields = _fields(text)
        if text.count('"') % 2:
            source.bad_row(f"line {number}", "has a quote that is not closed")
        elif fields is None:
            source.bad_row(f"line {number}", "has a line end within, or a field without end")
        elif len(fields) == num_fields:
            yield number, text.rstrip("\r")
        elif text.strip():
            source.bad_row(f"line {number}", f"expected {num_fields} fields as in the header, got {len(fields)}")


def _fields(text: str) -> list[str] | None:
    """The fields of a line, none if it is empty; None: it is not a line."""
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        return None


def _read(block: bytes, header: list[str], kept: list[str]) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    if not block:
        return pa.table({name: pa.array([], pa.string()) for name in kept})
    return arrow_csv.read_csv(
        io.BytesIO(block),
        arrow_csv.ReadOptions(column_names=header, use_threads=False, block_size=max(2 * len(block), 1 << 16)),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(kept, pa.string()), include_columns=kept, strings_can_be_null=False
        ),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _can_cast(field: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        field.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _replace(text: Any, mask: NDArray[np.bool_], filler: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(mask), pa.scalar(filler), text)
