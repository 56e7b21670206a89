"""CSV traces with token ids, as `blis.workload.traces.csv` reads them: the first five columns count by position."""

from __future__ import annotations

from collections.abc import Iterator

from blis.workload.convert.source import Rows, Source
from blis.workload.requests import LiteralTokens, RequestTable
from blis.workload.traces.csv import OPTIONAL, read_csv_pieces


def read_token_csv(source: Source) -> Iterator[Rows]:
    """Read token ids.

    Raises:
        WorkloadError: a row is wrong and not to be skipped, or the file cannot be cut into rows.
    """
    skip = source.options.on_bad_row == "skip"
    with source.open() as file:
        for table, num_bad in read_csv_pieces(source.path, file, skip_bad_rows=skip):
            source.num_bad += num_bad
            if table is not None:
                yield _rows(table)


def _rows(table: RequestTable) -> Rows:
    from blis.workload.traces.parquet import token_columns

    assert isinstance(table.content, LiteralTokens)
    columns = token_columns(table)
    columns |= {name: getattr(table, name) for name in OPTIONAL if getattr(table, name) is not None}
    return Rows(table.arrival_us, table.input_tokens, table.output_tokens, columns)
