"""From a trace in any known format to one of ours, a piece at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from errno import EIO
from pathlib import Path
from typing import Any

import numpy as np

from blis.errors import InputError, nearest
from blis.files.existing import exists
from blis.files.output import check_output, replacing
from blis.files.temporary import temporary_beside
from blis.workload.convert.options import TARGETS, ReadOptions, Selection
from blis.workload.convert.selecting import Counts, Requests
from blis.workload.convert.source import Rows, Source
from blis.workload.convert.tracev2 import trace_files, write_tracev2_of
from blis.workload.traces.parquet import TOKEN_IDS

#: Formats that can be written, by the suffix of the file to write.
_BY_SUFFIX = {".parquet": "parquet", ".yaml": "tracev2"}
#: A row group is written when so much has come together; it bounds what is held in memory.
_GROUP_ROWS = 1 << 17
_GROUP_BYTES = 1 << 25


def convert(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    format_name: str | None = None,
    target_format: str | None = None,
    selection: Selection | None = None,
    options: ReadOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[str, Counts]:
    """Write a trace in one of our formats. The target appears when all is done, and stays as it was if not.

    Args:
        path: the file to read.
        target: the file to write; of a TraceV2 the header, beside which the other files stand.
        format_name: format of ``path``, one of `blis.workload.convert.options.FORMATS`; None: by its looks.
        target_format: format of ``target``; None: by its suffix.
        selection: which requests are taken, and when they arrive; None: all, counted from the first arrival.
        options: what the file does not say itself.
        progress: called with the number of bytes of ``path`` read so far.

    Returns:
        The format that was read, and what became of its rows.

    Raises:
        InputError: a format is unknown, a row is wrong, no request is left, there is no writing to ``target``.
        OSError: writing failed; the filename is that of ``target``.
    """
    path, target = Path(path), Path(target)
    made = _target_format(target, target_format)
    for output in (target,) if made == "parquet" else trace_files(target):
        check_output(output, parquet=made == "parquet")
        if exists(output) and exists(path) and output.samefile(path):
            raise InputError(f"{output}: is the file to read; name another one to write")
    requests = Requests(Source(path, options or ReadOptions(), progress), format_name, selection or Selection())
    with replacing(target) if made == "parquet" else temporary_beside(target.resolve()) as temporary:
        try:
            requests.feed(lambda pieces: write_parquet(pieces, temporary))
        except OSError as error:
            raise OSError(error.errno or EIO, error.strerror or str(error), str(target)) from None
        if not requests.counts.taken:
            raise InputError(f"{path}: no requests are left ({_causes(requests.counts)})")
        if made == "tracev2":
            write_tracev2_of(temporary, target)
    return requests.format_name, requests.counts


def write_parquet(pieces: Iterator[Rows], path: Path) -> None:
    """Write requests as a Parquet trace, row group by row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    group: list[Any] = []
    num_rows = num_bytes = 0
    try:
        for rows in pieces:
            batch = _trace_batch(rows)
            writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd")
            group.append(batch)
            num_rows, num_bytes = num_rows + len(batch), num_bytes + batch.nbytes
            if num_rows >= _GROUP_ROWS or num_bytes >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(group), num_rows)
                group, num_rows, num_bytes = [], 0, 0
        if writer is not None and group:
            writer.write_table(pa.Table.from_batches(group), num_rows)
    finally:
        if writer is not None:
            writer.close()


def _target_format(target: Path, name: str | None) -> str:
    suffix = target.suffix.lower()
    found = name or _BY_SUFFIX.get(suffix)
    if found is None or found not in TARGETS or (found == "tracev2" and suffix != ".yaml"):
        what = f"format {found!r}" if name and found not in TARGETS else f"suffix {target.suffix!r}"
        valid = nearest(name or suffix, TARGETS if name and found not in TARGETS else _BY_SUFFIX)
        raise InputError(f"{target}: {what} cannot be written; {valid}")
    return found


def _trace_batch(rows: Rows) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {"arrival_us": pa.array(rows.arrival_us)}
    if TOKEN_IDS[0] not in rows.columns:
        for name, values in (("input_tokens", rows.input_tokens), ("output_tokens", rows.output_tokens)):
            columns[name] = pa.array(values.astype(np.int32))
    return pa.RecordBatch.from_pydict(columns | rows.columns)


def _causes(counts: Counts) -> str:
    found = {
        "without a prompt": counts.without_prompt,
        "outside the time asked for": counts.not_selected,
        "that nobody answers": counts.unanswered,
        "wrong": counts.bad,
        "failed": counts.failed,
    }
    return ", ".join(f"{count} {what}" for what, count in found.items() if count) or "the file holds none"
