"""Tables of whatever columns as text, piece by piece: CSV with any usual delimiter, JSON lines or lists, Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

import numpy as np

from blis.files.parquet import damage_as
from blis.files.plain import line_of_no_text
from blis.workload.convert.json_lines import json_records
from blis.workload.convert.source import Source
from blis.workload.requests import Ints

_DELIMITERS = ",;\t|"
#: Longer rows cannot be read.
_CSV_BLOCK_BYTES = 1 << 24
_BATCH_ROWS = 1 << 13
#: Keys are those of the first records; one of them may lack some.
_FIRST_RECORDS = 100
_HEAD_BYTES = 1 << 16

Piece = tuple[Ints, Any]


class Table(Protocol):
    """A table.

    Attributes:
        names: of its columns.
        word: what a row's number counts, ``line`` or ``row``.
    """

    names: Sequence[str]
    word: str

    def pieces(self, wanted: Sequence[str]) -> Iterator[Piece]:
        """Numbers of some rows, and their wanted columns as an Arrow table of strings, empty where there is nothing."""
        ...


@contextmanager
def open_table(source: Source) -> Iterator[Table]:
    """Open a table; its beginning says what it is.

    Raises:
        WorkloadError: it cannot be read as what it begins like.
    """
    with source.open() as file:
        head = file.peek(_HEAD_BYTES)[:_HEAD_BYTES].lstrip()
    with damage_as(lambda problem: source.error(_explained(problem))):
        if head.startswith(b"PAR1"):
            with source.open_seekable() as seekable:
                yield _Parquet(seekable)
        elif head.startswith((b"{", b"[")):
            yield _Json(source)
        else:
            yield _Csv(source)


_RECODE = "is not in UTF-8 (nor UTF-16); recode it first, such as iconv -f latin1 -t utf-8"


def _explained(problem: str) -> str:
    if "UTF8" in problem or "utf8" in problem:
        return _RECODE
    return f"cannot be read: {problem}"


def split_header(line: str) -> tuple[str, Sequence[str]]:
    """The delimiter of a CSV file by its first line, and what that splits the line into."""
    delimiter = max(_DELIMITERS, key=line.count)
    try:
        return delimiter, next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a lone carriage return, in a file that is none of text
        return delimiter, [line]


class _Csv:
    """Fields may hold line ends."""

    word = "row"

    def __init__(self, source: Source) -> None:
        self._source = source
        with source.open() as file:
            line = file.readline().decode(errors="replace").rstrip("\r\n")
        self._delimiter, self.names = split_header(line)
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice is not None:
            raise source.error(f"row 1: column {twice!r} stands there twice")

    def pieces(self, wanted: Sequence[str]) -> Iterator[Piece]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        wrong: list[str] = []

        def skip(row: Any) -> str:
            wrong.append(f"expected {row.expected_columns} fields as in the header, got {row.actual_columns}")
            return "skip"

        with self._source.open() as file:
            line = line_of_no_text(file)
        if line is not None:
            raise self._source.error(f"line {line}: {_RECODE}")
        with self._source.open() as file:
            reader = arrow_csv.open_csv(
                file,
                arrow_csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),
                arrow_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=skip),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(wanted, pa.string()),
                    include_columns=list(wanted),
                    strings_can_be_null=False,
                ),
            )
            first = 2
            for batch in reader:
                yield first + np.arange(len(batch)), pa.Table.from_batches([batch])
                first += len(batch)
                for problem in wrong:
                    self._source.bad_row(f"before row {first}", problem)
                wrong.clear()


class _Json:
    """Objects; the keys of those within are joined by dots."""

    def __init__(self, source: Source) -> None:
        self._source = source
        first = list(islice(json_records(source, "record"), _FIRST_RECORDS))
        if not first:
            raise source.error("holds no records")
        self.word = first[0][0].split()[0]
        self.names: Sequence[str] = list(dict.fromkeys(name for _, record in first for name in _flat(record)))

    def pieces(self, wanted: Sequence[str]) -> Iterator[Piece]:
        import pyarrow as pa

        records = iter(json_records(self._source, "record"))
        while batch := list(islice(records, _BATCH_ROWS)):
            rows = [_flat(record) for _, record in batch]
            columns = {name: pa.array([_text(row.get(name)) for row in rows], pa.string()) for name in wanted}
            yield np.array([int(place.split()[1]) for place, _ in batch]), pa.table(columns)


def _flat(record: Any) -> dict[str, Any]:
    """The values of an object and of those within; nothing of what is no object."""
    found: dict[str, Any] = {}
    for key, value in record.items() if isinstance(record, Mapping) else ():
        found |= {f"{key}.{name}": inner for name, inner in _flat(value).items()} or {key: value}
    return found


def _text(value: Any) -> str:
    return "" if value is None else str(value)


class _Parquet:
    """Columns of any type; those of structures are joined by dots."""

    word = "row"

    def __init__(self, file: Any) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(file)
        self.names: Sequence[str] = _flattened(self._file.schema_arrow.empty_table()).column_names

    def pieces(self, wanted: Sequence[str]) -> Iterator[Piece]:
        import pyarrow as pa
        import pyarrow.compute as pc

        first = 0
        for batch in self._file.iter_batches(_BATCH_ROWS, columns=list(wanted)):
            table = _flattened(pa.Table.from_batches([batch]))
            columns = {name: pc.fill_null(table[name].cast(pa.string()), "") for name in wanted}
            yield first + np.arange(len(table)), pa.table(columns)
            first += len(table)


def _flattened(table: Any) -> Any:
    import pyarrow as pa

    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    return table
