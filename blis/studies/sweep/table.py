"""The table of a sweep: one row per run, in the order of the points, as Parquet."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blis.files.arrow import flags, numbers, texts
from blis.files.output import replacing
from blis.studies.sweep.file import Sweep
from blis.studies.sweep.keys import Kind
from blis.studies.sweep.mark import MARK
from blis.studies.sweep.work import Row

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_PER_GROUP = 2**14
#: Columns every table has, around those of parameters and before the metrics.
RUN_COLUMNS, STATE_COLUMNS = ("point", "replication", "seed"), ("status", "error")


def write_table(path: Path, sweep: Sweep, rows: Callable[[], Iterator[Row]], metadata: Mapping[str, Any]) -> None:
    """Write a row per run; the file appears when it is complete. The same rows give the same bytes.

    Args:
        path: of the file.
        sweep: whose runs they are.
        rows: gives all of them, by number of their run; called twice.
        metadata: of the schema, as plain JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(sweep, rows()).with_metadata({MARK: json.dumps(metadata)})
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        cells = (_cells(sweep, row) for row in rows())
        while group := list(itertools.islice(cells, _ROWS_PER_GROUP)):
            columns = [_column([row.get(field.name) for row in group], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if kind == pa.string():
        return texts(values)
    missing = np.array([value is None for value in values], np.bool_)
    filled = [0 if value is None else value for value in values]
    if kind == pa.bool_():
        return flags(np.array(filled, np.bool_), missing)
    return numbers(np.array(filled, kind.to_pandas_dtype()), missing)


def _cells(sweep: Sweep, row: Row) -> dict[str, Any]:
    point, replication = divmod(row.run, sweep.replications)
    values = sweep.points[point].values
    return {
        "point": point,
        "replication": replication,
        **{key.name: key.cell(values.get(key.name)) for key in sweep.keys},
        "seed": row.seed,
        "status": row.status,
        "error": row.error,
        **row.metrics,
    }


def _schema(sweep: Sweep, rows: Iterator[Row]) -> pa.Schema:
    import pyarrow as pa

    of_kind: dict[Kind, pa.DataType] = {"integer": pa.int64(), "number": pa.float64(), "flag": pa.bool_()}
    columns = dict.fromkeys(RUN_COLUMNS, pa.int64())
    columns |= {key.name: of_kind.get(key.kind, pa.string()) for key in sweep.keys}
    columns |= dict.fromkeys(STATE_COLUMNS, pa.string())
    of_metric: dict[str, pa.DataType] = {}
    for row in rows:
        for name, value in row.metrics.items():
            if isinstance(value, str):
                of_metric[name] = pa.string()
            elif isinstance(value, float) or (value is None and name not in of_metric):
                of_metric[name] = pa.float64()
            elif value is not None:
                of_metric.setdefault(name, pa.int64())
    return pa.schema([*columns.items(), *of_metric.items()])
