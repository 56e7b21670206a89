"""Our own Parquet traces, a piece of rows at a time; what they hold is checked when they are run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from blis.files.parquet import damage_as
from blis.workload.convert.source import MOST_LENGTH, Rows, Source
from blis.workload.requests import MOST_US, Ints
from blis.workload.traces.hash_ids import better_block_tokens
from blis.workload.traces.parquet import HASH_IDS, LENGTHS, TOKEN_IDS, does_not_fit, needed_columns

#: Prompts of some thousand token ids each still take little memory.
_BATCH_ROWS = 1 << 13


def read_parquet(source: Source) -> Iterator[Rows]:
    """Read a trace; all its columns are kept.

    Raises:
        WorkloadError: the file is no Parquet, its columns are not those of a trace, or a value makes no sense.
    """
    import pyarrow.parquet as pq

    with (
        damage_as(lambda problem: source.error(f"cannot be read as Parquet: {problem}")),
        source.open_seekable() as opened,
        pq.ParquetFile(opened) as file,
    ):
        needed_columns(source.path, file.schema_arrow.names)
        size, total, done = source.path.stat().st_size, max(file.metadata.num_rows, 1), 0
        for batch in file.iter_batches(_BATCH_ROWS):
            yield _rows(source, batch, done)
            done += len(batch)
            source.at(size * done // total)


def _rows(source: Source, batch: Any, first: int) -> Rows:
    import pyarrow.compute as pc

    columns = {name: batch[name] for name in batch.schema.names}
    keep = np.full(len(batch), True)
    arrival = _integers(source, columns.pop("arrival_us"), "arrival_us", MOST_US, first, keep)
    if TOKEN_IDS[0] in columns:
        measured = [pc.list_value_length(columns[name]) for name in TOKEN_IDS]
    else:
        measured = [columns.pop(name) for name in LENGTHS]
    names = TOKEN_IDS if TOKEN_IDS[0] in columns else LENGTHS
    prompt, output = (_integers(source, *pair, MOST_LENGTH, first, keep) for pair in zip(measured, names, strict=True))
    for name in HASH_IDS:
        if name in columns:
            _check_ids(source, name, columns[name].type)
            _note(source, columns[name].is_null().to_numpy(False), name, "must not be null", first, keep)
    rows = Rows(arrival, prompt, output, columns).filter(keep)
    if HASH_IDS[0] in columns and len(rows):
        _check_block_tokens(source, rows)
    return rows


def _check_ids(source: Source, name: str, kind: Any) -> None:
    import pyarrow as pa

    found = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    if not pa.types.is_integer(found) or (found is kind) != (name == HASH_IDS[1]):
        expected = "integers" if name == HASH_IDS[1] else "lists of integers"
        raise source.error(f"{name}: expected {expected}, got {kind}")


def _check_block_tokens(source: Source, rows: Rows) -> None:
    import pyarrow.compute as pc

    num_ids = pc.list_value_length(rows.columns[HASH_IDS[0]]).to_numpy(zero_copy_only=False).astype(np.int64)
    size = int(rows.columns[HASH_IDS[1]][0].as_py())
    better = better_block_tokens(size, rows.input_tokens, rows.output_tokens, num_ids) if size >= 1 else None
    if better is not None:
        source.doubt(does_not_fit(size, better))


def _integers(source: Source, column: Any, name: str, most: int, first: int, keep: Any) -> Ints:
    """The values of a column of integers; rows with wrong ones are reported and taken out of ``keep``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_integer(column.type):
        raise source.error(f"{name}: expected integers, got {column.type}")
    wrong = pc.or_kleene(pc.less(column, 0), pc.greater(column, most)).fill_null(True).to_numpy(False)
    _note(source, wrong, name, f"must lie in [0, {most}]", first, keep)
    values: Ints = pc.if_else(pa.array(wrong), pa.scalar(0, column.type), column).to_numpy(False).astype(np.int64)
    return values


def _note(source: Source, wrong: Any, name: str, problem: str, first: int, keep: Any) -> None:
    for row in np.flatnonzero(wrong & keep).tolist():
        keep[row] = False
        source.bad_row(f"row {first + row}", f"{name}: {problem}")
