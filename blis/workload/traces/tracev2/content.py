"""The content file of a TraceV2: Parquet with what neither its columns nor its header can say.

Per request, each if there is any: ``priority``, ``max_tokens``, ``prefix_tokens``, ``rtt_us``, ``bandwidth_mbps``; of
those that were never sent the row they waited for (``after``) and how long after its end they would have come
(``think_us``). Token content is either ``prompt_token_ids`` and ``output_token_ids``, or token streams: ``stream`` per
request, ``parent`` and ``fork_tokens`` per stream. Columns of requests and of streams stand side by side, filled up
with nulls at the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError, nearest
from blis.files.parquet import read_table
from blis.workload.requests import Ints, LiteralTokens, RequestTable, Sessions, TokenStreams
from blis.workload.traces.parquet import TOKEN_IDS, literal_tokens, token_columns

if TYPE_CHECKING:
    import pyarrow as pa

Columns = dict[str, NDArray[Any]]

_WAITS = ("after", "think_us")
_PER_REQUEST = ("priority", "max_tokens", "prefix_tokens", "rtt_us", "bandwidth_mbps", *_WAITS)
_STREAMS = ("stream", "parent", "fork_tokens")


def extras(table: RequestTable, prefix_tokens: Ints) -> Columns:
    """What a table says about each request that has no other place.

    Args:
        table: the requests.
        prefix_tokens: (n,) what a reader is going to assume.
    """
    found: Columns = {}
    for name in ("priority", "max_tokens"):
        if getattr(table, name) is not None:
            found[name] = getattr(table, name)
    details = table.details
    if details is not None:
        if not np.array_equal(details.prefix_tokens, prefix_tokens):
            found["prefix_tokens"] = details.prefix_tokens
        found |= {name: getattr(details, name) for name in ("rtt_us", "bandwidth_mbps") if getattr(details, name).any()}
    return found


def waits(sessions: Sessions, unsent: NDArray[np.bool_]) -> Columns:
    """Whom those requests waited for that were never sent; all others wait for nobody any more."""
    return {"after": np.where(unsent, sessions.after, -1), "think_us": np.where(unsent, sessions.think_us, 0)}


def read_waits(path: Path) -> Ints:
    """The rows of a content file's requests that were never sent.

    Raises:
        WorkloadError: it cannot be read, or does not say.
    """
    table = _read(path)
    if _WAITS[0] not in table.column_names:
        raise WorkloadError(f"{path}: column {_WAITS[0]} is missing")
    return np.flatnonzero(_numbers(path, table, _WAITS[0], None) >= 0)


def write_content(path: Path, table: RequestTable, columns: Columns, *, with_tokens: bool) -> None:
    """Write a content file; an existing one is overwritten.

    Args:
        path: of the file.
        table: the requests.
        columns: what `extras` gave.
        with_tokens: whether to write the table's token content, too.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = table.content if with_tokens else None
    if isinstance(content, TokenStreams):
        columns = columns | {name: getattr(content, name) for name in _STREAMS}
    length = max(len(table), *map(len, columns.values()), 0)
    arrays = {name: _filled_up(values, length) for name, values in columns.items()}
    if isinstance(content, LiteralTokens):
        arrays |= token_columns(table)
    pq.write_table(pa.table(arrays), path, compression="zstd")


def _filled_up(values: NDArray[Any], length: int) -> pa.Array:
    import pyarrow as pa

    array = pa.array(values)
    return pa.concat_arrays([array, pa.nulls(length - len(array), array.type)])


def read_content(
    path: Path, input_tokens: Ints, output_tokens: Ints
) -> tuple[Columns, TokenStreams | LiteralTokens | None]:
    """Read a content file.

    Args:
        path: of the file.
        input_tokens: (n,) of the requests.
        output_tokens: (n,) likewise.

    Returns:
        What there is per request, and the token content, None if the file says nothing about that.

    Raises:
        WorkloadError: it cannot be read, or does not fit the requests; names file and column.
    """
    table = _read(path)
    count = len(input_tokens)
    found: Columns = {}
    for name in table.column_names:
        if name in _PER_REQUEST:
            found[name] = _numbers(path, table, name, count)
        elif name not in _STREAMS + TOKEN_IDS:
            raise WorkloadError(
                f"{path}: unknown column {name!r}; {nearest(name, (*_PER_REQUEST, *_STREAMS, *TOKEN_IDS))}"
            )
    for name in ("prefix_tokens", "rtt_us", "bandwidth_mbps"):
        if name in found and not (found[name] >= 0).all():
            row = int(np.flatnonzero(~(found[name] >= 0))[0])
            raise WorkloadError(f"{path}: request {row}: {name}: must be >= 0, got {found[name][row]}")
    if "max_tokens" in found and (found["max_tokens"] < output_tokens).any():
        row = int(np.flatnonzero(found["max_tokens"] < output_tokens)[0])
        least = f"at least its {output_tokens[row]} output tokens"
        raise WorkloadError(f"{path}: request {row}: max_tokens: must be {least}, got {found['max_tokens'][row]}")
    for group in (_STREAMS, TOKEN_IDS):
        if not set(group).isdisjoint(table.column_names) and not set(group) <= set(table.column_names):
            raise WorkloadError(
                f"{path}: columns {', '.join(group)} go together; found {', '.join(table.column_names)}"
            )
    if TOKEN_IDS[0] in table.column_names:
        return found, _literal(path, table, input_tokens, output_tokens)
    if _STREAMS[0] in table.column_names:
        stream = _numbers(path, table, "stream", count)
        parent = _numbers(path, table, "parent", None)
        return found, TokenStreams(stream, parent, _numbers(path, table, "fork_tokens", len(parent)))
    return found, None


def _read(path: Path) -> pa.Table:
    import pyarrow as pa

    try:
        return read_table(path)
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from None
    except pa.ArrowException as error:
        raise WorkloadError(f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _numbers(path: Path, table: pa.Table, name: str, count: int | None) -> NDArray[Any]:
    import pyarrow as pa

    expected = pa.float64() if name == "bandwidth_mbps" else pa.int64()
    column = table[name]
    if column.type != expected:
        raise WorkloadError(f"{path}: {name}: expected {expected}, got {column.type}")
    values: NDArray[Any] = column.drop_null().to_numpy()
    if count is not None and len(values) != count:
        raise WorkloadError(f"{path}: {name}: expected {count} values, got {len(values)}")
    return values


def _literal(path: Path, table: pa.Table, input_tokens: Ints, output_tokens: Ints) -> LiteralTokens:
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = []
    for name, expected in zip(TOKEN_IDS, (input_tokens, output_tokens), strict=True):
        column = table[name]
        if column.type != pa.large_list(pa.int32()):
            raise WorkloadError(f"{path}: {name}: expected lists of int32, got {column.type}")
        lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy()
        if not np.array_equal(lengths, expected):
            raise WorkloadError(f"{path}: {name}: its lists are not as long as the data file says")
        flat.append(pc.list_flatten(column).to_numpy())
    return literal_tokens(input_tokens, output_tokens, *flat)
