"""The Parquet file of a trace, written while the run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from blis.files.output import naming, replacing, scratch_for

if TYPE_CHECKING:
    import pyarrow as pa

#: Candidates gathered before a row group is written.
_CANDIDATES_PER_GROUP = 2**18
#: Names of the columns of measured regret in the file, and in what `blis.outcomes.decisions.realised` gives.
_REALISED = {
    f"realised_{name}": name
    for name in (
        *("alternative", "own_e2e_regret_us", "own_ttft_regret_us"),
        *("mean_e2e_regret_us", "mean_ttft_regret_us"),
    )
}


class _DiscardedError(Exception):
    """What ends a file that is not wanted any more."""


class TraceFile:
    """Takes rows (`blis.outcomes.decisions.rows`) and becomes visible when finished.

    Args:
        path: the file.
        metadata: what the schema says of the run.
        empty: a table of no rows.
        candidates_per_row: lengths of the lists.
        awaits_realised: whether measured regret is to come when all rows are there: they are put aside until then.

    Raises:
        OSError: here or later, it could not be written; names ``path``.
    """

    def __init__(
        self,
        path: Path,
        metadata: Mapping[str, Any],
        empty: pa.Table,
        candidates_per_row: int,
        *,
        awaits_realised: bool,
    ) -> None:
        self._path = path
        self._metadata = metadata
        self._rows_per_group = max(1, _CANDIDATES_PER_GROUP // candidates_per_row)
        self._gathered = [empty]
        self._num_gathered = 0
        with naming(path), ExitStack() as stack:
            self._target = stack.enter_context(replacing(path))
            self._scratch = stack.enter_context(scratch_for(path)) if awaits_realised else None
            schema = empty.schema if awaits_realised else _with_realised(empty, None).schema
            self._writer = stack.enter_context(_writer(self._scratch or self._target, schema))
            self._stack = stack.pop_all()

    def write(self, rows: pa.Table) -> None:
        """Append rows."""
        self._gathered.append(rows)
        self._num_gathered += len(rows)
        if self._num_gathered >= self._rows_per_group:
            with naming(self._path):
                self._write_group()

    def finish(self, realised: pa.Table | None) -> None:
        """Write what is still to be written; from now on there is the file.

        Args:
            realised: measured regret, as `blis.outcomes.decisions.realised.realised_regret` gives it; None: nobody
                asked for it.
        """
        with naming(self._path):
            self._write_group()
            if self._scratch is not None:
                self._copy(self._scratch, realised)
            else:
                self._describe(self._writer)
            self._stack.close()

    def discard(self) -> None:
        """Leave nothing behind, unless it is finished."""
        with suppress(OSError):  # of what is not wanted any more
            self._stack.__exit__(_DiscardedError, _DiscardedError(), None)

    def _copy(self, scratch: IO[bytes], realised: pa.Table | None) -> None:
        """Write the rows put aside, completed."""
        import pyarrow.parquet as pq

        self._writer.close()
        with pq.ParquetFile(scratch) as rows:
            groups = (rows.read_row_group(index) for index in range(rows.num_row_groups))
            schema = _with_realised(rows.schema_arrow.empty_table(), realised).schema
            with _writer(self._target, schema) as writer:
                for group in groups:
                    writer.write_table(_with_realised(group, realised), len(group))
                self._describe(writer)

    def _describe(self, writer: Any) -> None:
        writer.add_key_value_metadata({"blis": json.dumps(self._metadata)})

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._num_gathered:
            rows = pa.concat_tables(self._gathered)
            self._writer.write_table(rows if self._scratch else _with_realised(rows, None), len(rows))
        del self._gathered[1:]
        self._num_gathered = 0


def _writer(target: Any, schema: pa.Schema) -> Any:
    import pyarrow.parquet as pq

    # the stored schema would hide the metadata from `pyarrow.parquet.read_schema`
    return pq.ParquetWriter(target, schema, compression="zstd", store_schema=False)


def _with_realised(rows: pa.Table, realised: pa.Table | None) -> pa.Table:
    """Add the columns of measured regret, null in all rows but those of the samples."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if realised is None:
        types = {"realised_alternative": pa.string(), "realised_own_e2e_regret_us": pa.int64()}
        types |= {"realised_own_ttft_regret_us": pa.int64()}
        columns = {name: pa.nulls(len(rows), types.get(name, pa.float64())) for name in _REALISED}
    else:
        sample = pc.index_in(rows["request_id"], value_set=realised["request_id"].combine_chunks())
        sample = pc.if_else(pc.equal(rows["kind"], "routing"), sample, pa.scalar(None, pa.int32()))
        columns = {name: realised[source].take(sample) for name, source in _REALISED.items()}
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    return rows
