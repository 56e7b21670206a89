"""Traces in Parquet: lengths only, lengths with hash ids, or token ids (docs/workload-formats.md)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError, nearest
from blis.files.output import check_output, replacing
from blis.workload.labels import SLO_CLASSES, label_column, labels
from blis.workload.requests import Ints, LiteralTokens, RequestTable, TokenStreams
from blis.workload.traces.hash_ids import LEAST_ID, MOST_ID, HashIds, better_block_tokens, token_streams

LENGTHS = ("input_tokens", "output_tokens")
HASH_IDS = ("hash_ids", "hash_block_tokens")
TOKEN_IDS = ("prompt_token_ids", "output_token_ids")
#: Columns a trace of each kind may have besides.
OPTIONAL = ("priority", "slo_class", "tenant_id", "max_tokens")
#: Time from arrival to the first and to the last token, as it was measured; for `blis.workload.convert`.
MEASURED = ("measured_ttft_us", "measured_e2e_us")
#: And these, which change nothing.
METADATA = ("request_id", "model", "session_id", *MEASURED)

_log = logging.getLogger("blis")

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_INT32_MAX = 2**31 - 1


def load_parquet_trace(path: Path, horizon_us: int | None = None) -> RequestTable:
    """Load a Parquet trace; its columns say of which kind it is.

    Args:
        path: the file.
        horizon_us: rows arriving later are left out, but checked.

    Returns:
        Requests in the order of their rows.

    Raises:
        WorkloadError: not a Parquet file, missing, unknown or contradicting columns, or a wrong value; names the
            row, counted from 0.
    """
    return _requests(_Columns(path, _read(path, needed_columns)), horizon_us)


def table_of(source: str, trace: Any, shown: Mapping[str, str]) -> RequestTable:
    """The requests of an Arrow table that holds what a Parquet trace does.

    Args:
        source: what it is called in messages.
        trace: the table.
        shown: names of columns in messages, where they are others than those of traces.

    Raises:
        WorkloadError: as `load_parquet_trace`.
    """
    return _requests(_Columns(source, trace.select(needed_columns(source, trace.column_names)), shown))


def _requests(columns: _Columns, horizon_us: int | None = None) -> RequestTable:
    arrival = columns.integers("arrival_us", 0, _INT64_MAX)
    keep = np.full(len(arrival), True) if horizon_us is None else arrival <= horizon_us
    optional = _optional_columns(columns, keep)
    if TOKEN_IDS[0] in columns:
        prompt, output, tokens = _literal_tokens(columns, keep)
        _check_caps(columns, optional, output, keep)
        return RequestTable(arrival[keep], prompt, output, tokens, **optional)
    prompt = columns.integers("input_tokens", 1, _INT32_MAX)
    output = columns.integers("output_tokens", 0, _INT32_MAX)
    _check_caps(columns, optional, output[keep], keep)
    streams = _token_streams(columns, prompt, output, keep) if HASH_IDS[0] in columns else None
    return RequestTable(arrival[keep], prompt[keep], output[keep], streams, **optional)


def does_not_fit(block_tokens: int, better: int) -> str:
    """What is said of a size of hash blocks that does not fit the prompts."""
    return f"hash_block_tokens: {block_tokens} does not fit the number of ids of the prompts, {better} would"


def measured_durations(path: Path) -> tuple[Ints, Ints] | None:
    """The columns `MEASURED` of a trace that `load_parquet_trace` has read; None: it has none.

    Raises:
        WorkloadError: a value is wrong.
    """
    columns = _Columns(path, _read(path, lambda _, names: [name for name in MEASURED if name in names]))
    if not all(name in columns for name in MEASURED):
        return None
    ttft_us, e2e_us = (columns.integers(name, 0, _INT64_MAX) for name in MEASURED)
    return ttft_us, e2e_us


def write_parquet_trace(table: RequestTable, path: Path, hash_ids: HashIds | None = None) -> None:
    """Write requests as a Parquet trace; reading it gives the same table.

    Token streams have no columns in a file: what they say must be given as hash ids.

    Args:
        table: the requests.
        path: the file to write.
        hash_ids: ids of the requests' leading blocks, in place of the table's own content.

    Raises:
        WorkloadError: the table's content is token streams and there are no hash ids.
        InputError: there is no writing to ``path``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_output(path, parquet=True)
    columns: dict[str, Any] = {"arrival_us": table.arrival_us}
    if isinstance(table.content, LiteralTokens) and hash_ids is None:
        columns |= token_columns(table)
    else:
        columns |= {"input_tokens": table.input_tokens, "output_tokens": table.output_tokens}
    if hash_ids is not None:
        columns["hash_ids"] = _list_array(np.diff(hash_ids.offsets), hash_ids.ids)
        columns["hash_block_tokens"] = np.full(len(table), hash_ids.block_tokens, dtype=np.int32)
    elif isinstance(table.content, TokenStreams):
        raise WorkloadError(f"{path}: token streams cannot be written; give the hash ids they come from")
    for name in ("priority", "max_tokens"):
        if getattr(table, name) is not None:
            columns[name] = getattr(table, name)
    for name, given in (("slo_class", table.slo_class), ("tenant_id", table.tenant)):
        if given is not None:
            columns[name] = label_column(given, slice(0, len(table)))
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def token_columns(table: RequestTable) -> dict[str, Any]:
    """The columns of token ids, as Arrow arrays, of a table whose content is token ids."""
    assert isinstance(table.content, LiteralTokens)
    in_prompt = _is_prompt(table.input_tokens, table.output_tokens)
    tokens = table.content.token_ids
    return {
        TOKEN_IDS[0]: _list_array(table.input_tokens, tokens[in_prompt]),
        TOKEN_IDS[1]: _list_array(table.output_tokens, tokens[~in_prompt]),
    }


class _Columns:
    """The columns of a trace, checked as they are taken out.

    Args:
        source: file or whatever they come from, for messages.
        table: the columns, an Arrow table.
        shown: names in messages, where they are others.
    """

    def __init__(self, source: Path | str, table: Any, shown: Mapping[str, str] | None = None) -> None:
        self.source, self._table, self._shown = source, table, shown or {}
        if not len(table):
            raise WorkloadError(f"{source}: holds no requests")

    def __contains__(self, name: str) -> bool:
        return name in self._table.column_names

    def integers(self, name: str, least: int, most: int) -> Ints:
        """Take a column of integers of any width."""
        column = self._table[name]
        self._check_type(name, column.type, column.type)
        self._check_nulls(name, column)
        values: NDArray[Any] = column.to_numpy()
        self._check_range(name, values, least, most, np.arange(len(values) + 1))
        return values.astype(np.int64)

    def lists(self, name: str, least: int, most: int) -> tuple[Ints, NDArray[Any]]:
        """Take a column of lists of integers: their lengths, and all values in a row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._table[name]
        is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        self._check_type(name, column.type, column.type.value_type if is_list else None)
        self._check_nulls(name, column)
        lengths = pc.list_value_length(column).to_numpy().astype(np.int64)
        flat = pc.list_flatten(column)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        self._check_nulls(name, flat, offsets)
        values = flat.to_numpy()
        self._check_range(name, values, least, most, offsets)
        return lengths, values

    def strings(self, name: str) -> Any:
        """Take a column of strings, some of which may be null."""
        import pyarrow as pa

        column = self._table[name]
        value_type = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_string(value_type) or pa.types.is_large_string(value_type) or pa.types.is_null(value_type)):
            raise WorkloadError(f"{self.source}: {self._shown.get(name, name)}: expected strings, got {column.type}")
        return column

    def error(self, row: int, name: str, problem: str) -> WorkloadError:
        """An error that says where."""
        return WorkloadError(f"{self.source}: row {row}: {self._shown.get(name, name)}: {problem}")

    def _check_type(self, name: str, found: Any, value_type: Any) -> None:
        import pyarrow as pa

        if value_type is None or not pa.types.is_integer(value_type):
            expected = "lists of integers" if name in (HASH_IDS[0], *TOKEN_IDS) else "integers"
            raise WorkloadError(f"{self.source}: {self._shown.get(name, name)}: expected {expected}, got {found}")

    def _check_nulls(self, name: str, column: Any, offsets: Ints | None = None) -> None:
        if column.null_count:
            at = int(np.flatnonzero(column.is_null().to_numpy())[0])
            row = at if offsets is None else _row_of(offsets, at)
            raise self.error(row, name, "must not be null")

    def _check_range(self, name: str, values: NDArray[Any], least: int, most: int, offsets: Ints) -> None:
        if len(values) and not least <= int(values.min()) <= int(values.max()) <= most:
            at = int(np.flatnonzero((values < least) | (values > most))[0])
            raise self.error(_row_of(offsets, at), name, f"must lie in [{least}, {most}], got {values[at]}")


def _read(path: Path, chosen: Callable[[Path, list[str]], list[str]]) -> Any:
    """The chosen columns of a file, an Arrow table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            parquet = pq.ParquetFile(file)
            return parquet.read(columns=chosen(path, parquet.schema_arrow.names))
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from None
    except pa.ArrowException as error:
        raise WorkloadError(f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _row_of(offsets: Ints, at: int) -> int:
    return int(np.searchsorted(offsets, at, side="right")) - 1


def needed_columns(path: Path | str, names: list[str]) -> list[str]:
    """Tell the kind of a trace from its columns, and say which are needed.

    Raises:
        WorkloadError: a column is missing, unknown, or contradicts another one.
    """
    for name in names:
        if names.count(name) > 1:
            raise WorkloadError(f"{path}: {name}: two columns have this name")
    if not set(names).isdisjoint(TOKEN_IDS):
        kind: tuple[str, ...] = TOKEN_IDS
    elif not set(names).isdisjoint(HASH_IDS):
        kind = LENGTHS + HASH_IDS
    else:
        kind = LENGTHS
    for name in names:
        if name not in ("arrival_us", *LENGTHS, *HASH_IDS, *TOKEN_IDS, *OPTIONAL, *METADATA):
            valid = ("arrival_us", *kind, *OPTIONAL, *METADATA)
            raise WorkloadError(f"{path}: unknown column {name!r}; {nearest(name, valid)}")
        if name in LENGTHS + HASH_IDS and kind is TOKEN_IDS:
            raise WorkloadError(
                f"{path}: column {name!r} contradicts token ids, which say it themselves; leave one out"
            )
    for name in ("arrival_us", *kind):
        if name not in names:
            raise WorkloadError(f"{path}: column {name!r} is missing; found: {', '.join(names)}")
    return ["arrival_us", *kind, *(name for name in OPTIONAL if name in names)]


def _optional_columns(columns: _Columns, keep: NDArray[np.bool_]) -> dict[str, Any]:
    """Arguments of the table for what a trace need not say."""
    given: dict[str, Any] = {}
    if "priority" in columns:
        given["priority"] = columns.integers("priority", _INT64_MIN, _INT64_MAX)[keep]
    if "max_tokens" in columns:
        given["max_tokens"] = columns.integers("max_tokens", 0, _INT32_MAX)[keep]
    if "slo_class" in columns:
        given["slo_class"] = labels(columns.strings("slo_class").filter(keep), SLO_CLASSES)
    if "tenant_id" in columns:
        given["tenant"] = labels(columns.strings("tenant_id").filter(keep))
    return given


def _check_caps(columns: _Columns, optional: dict[str, Any], output: Ints, keep: NDArray[np.bool_]) -> None:
    """Nobody gets more tokens than are allowed."""
    most = optional.get("max_tokens", output)
    if (most < output).any():
        at = int(np.flatnonzero(most < output)[0])
        problem = f"must be at least the {output[at]} output tokens, got {most[at]}"
        raise columns.error(int(np.flatnonzero(keep)[at]), "max_tokens", problem)


def _token_streams(columns: _Columns, prompt: Ints, output: Ints, keep: NDArray[np.bool_]) -> TokenStreams:
    sizes = columns.integers("hash_block_tokens", 1, _INT32_MAX)
    other = np.flatnonzero(sizes != sizes[0])
    if len(other):
        row = int(other[0])
        raise columns.error(
            row, "hash_block_tokens", f"must be the same in all rows, got {sizes[row]} after {sizes[0]}"
        )
    lengths, ids = columns.lists("hash_ids", LEAST_ID, MOST_ID)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    size = int(sizes[0])
    better = better_block_tokens(size, prompt, output, lengths)
    if better is not None:
        _log.warning("%s: %s", columns.source, does_not_fit(size, better))
    hash_ids = HashIds(offsets, ids.astype(np.int64), size)
    try:
        streams = token_streams(hash_ids, prompt, output)
    except WorkloadError as error:
        raise WorkloadError(f"{columns.source}: {error}") from None
    return TokenStreams(streams.stream[keep], streams.parent, streams.fork_tokens)


def _literal_tokens(columns: _Columns, keep: NDArray[np.bool_]) -> tuple[Ints, Ints, LiteralTokens]:
    prompt, prompt_ids = columns.lists(TOKEN_IDS[0], 0, _INT32_MAX)
    output, output_ids = columns.lists(TOKEN_IDS[1], 0, _INT32_MAX)
    empty = np.flatnonzero(prompt == 0)
    if len(empty):
        raise columns.error(int(empty[0]), TOKEN_IDS[0], "a prompt must hold at least one token")
    if not keep.all():
        prompt_ids = prompt_ids[np.repeat(keep, prompt)]
        output_ids = output_ids[np.repeat(keep, output)]
        prompt, output = prompt[keep], output[keep]
    return prompt, output, literal_tokens(prompt, output, prompt_ids, output_ids)


def literal_tokens(prompt: Ints, output: Ints, prompt_ids: Ints, output_ids: Ints) -> LiteralTokens:
    """The content of requests of given lengths, out of all prompts' tokens and all outputs' tokens."""
    token_ids = np.empty(len(prompt_ids) + len(output_ids), dtype=np.int32)
    in_prompt = _is_prompt(prompt, output)
    token_ids[in_prompt], token_ids[~in_prompt] = prompt_ids, output_ids
    return LiteralTokens(token_ids, np.concatenate(([0], np.cumsum(prompt + output))))


def _is_prompt(prompt: Ints, output: Ints) -> NDArray[np.bool_]:
    """For the tokens of requests, one after the other, whether each belongs to a prompt."""
    return np.repeat(np.tile([True, False], len(prompt)), np.column_stack((prompt, output)).ravel())


def _list_array(lengths: Ints, values: NDArray[Any]) -> Any:
    """Arrow lists of the given lengths, out of values one after the other."""
    import pyarrow as pa

    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
