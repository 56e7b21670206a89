"""Data frames as workloads: of polars, pandas or pyarrow, or of whatever else hands out Arrow tables."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import ConfigError, nearest
from blis.files.shown import summed_up
from blis.workload.convert.any_columns import choose_columns, unit_of
from blis.workload.convert.csv_columns import Columns
from blis.workload.convert.options import TIME_UNITS, ReadOptions, TimeUnit
from blis.workload.convert.source import Source
from blis.workload.requests import MOST_US, Ints, RequestTable
from blis.workload.traces.parquet import HASH_IDS, LENGTHS, METADATA, OPTIONAL, TOKEN_IDS, table_of
from blis.workload.window import EPOCH_US
from blis.workload.workload import Frame

if TYPE_CHECKING:
    import pyarrow as pa

#: What each role of a column is called in Parquet traces. Sessions change nothing there, and are none.
_OURS = {
    "arrival": "arrival_us",
    "input": LENGTHS[0],
    "output": LENGTHS[1],
    "tenant": "tenant_id",
    "class": "slo_class",
}
#: Columns that are taken if they are called so.
_BY_NAME = (*HASH_IDS, *TOKEN_IDS, *OPTIONAL)
_WHOLE = ("arrival_us", *LENGTHS, HASH_IDS[1], "priority", "max_tokens")
#: So many of the first times show which unit is plausible.
_SAMPLE = 1 << 12
#: What pandas calls an index without a name.
_INDEX = re.compile(r"__index_level_\d+__")

_log = logging.getLogger("blis")


class FrameWorkload:
    """Requests in a data frame, read and checked when this is made; later changes of the frame change nothing.

    Columns that are called as in Parquet traces are taken as they are there (docs/workload-formats.md). Others are
    taken by usual names (``timestamp``, ``prompt_tokens``, …), which a warning tells; their arrivals are dates,
    durations, or numbers, and count from the first one. Their unit is asked for in ``time_unit``, stands at the end of
    the name (``sent_at_ms``), or is the plausible one, which a warning tells, too. Columns that are not used are told.

    Args:
        frame: of polars, pandas or pyarrow, or anything else that has ``__arrow_c_stream__``.
        columns: names of columns by what they are: ``arrival``, ``input``, ``output``, ``tenant`` or
            ``class``; None: known by their names.
        time_unit: of arrivals that are numbers: ``s``, ``ms``, ``us`` or ``ns``.

    Attributes:
        table: the requests, one per row.
        columns: names of the columns that were taken, by what they are called in Parquet traces.

    Raises:
        WorkloadError: it is no table, a column is missing, or a value is wrong; names column and row, from 0.
        ConfigError: ``columns`` or ``time_unit`` are none.
    """

    def __init__(
        self, frame: Frame, *, columns: Mapping[str, str] | None = None, time_unit: TimeUnit | None = None
    ) -> None:
        for role in columns or {}:
            if role not in _OURS:
                raise ConfigError(f"columns: unknown {role!r}; {nearest(str(role), _OURS)}")
        self.table, self.columns = _read(frame, ReadOptions(time_unit=time_unit, columns=columns))

    def __repr__(self) -> str:
        return summed_up(self, self.table.headline)

    @property
    def seed(self) -> None:
        """Nothing is drawn."""

    def requests(self, seed: int, horizon_us: int | None = None) -> RequestTable:
        """The table, whatever the horizon."""
        return self.table

    def describe(self) -> dict[str, Any]:
        """How many requests there are, and which columns they are from."""
        return {"kind": "frame", "num_requests": len(self.table), "columns": self.columns}


class _FrameSource(Source):
    """A frame, for messages; options are arguments of `FrameWorkload`."""

    def option(self, name: str, value: str = "") -> str:
        role, _, column = value.partition("=")
        keyword = name.replace("-", "_")
        return f"{keyword}={{{role!r}: {column!r}}}" if value else keyword


def _read(frame: Frame, options: ReadOptions) -> tuple[RequestTable, dict[str, str]]:
    import pyarrow as pa

    source = _FrameSource(Path("frame"), options)
    arrow = _arrow(source, frame)
    roles = _roles(source, arrow.column_names)
    taken = {name: name for name in _BY_NAME if name in arrow.column_names}
    taken |= {_OURS[role]: name for role, name in roles.items()}
    columns = {ours: _plain(arrow[theirs]) for ours, theirs in taken.items()}
    is_ours = taken["arrival_us"] == "arrival_us" and options.time_unit is None
    if not is_ours:
        micros = _arrivals(source, roles["arrival"], columns["arrival_us"])
        columns["arrival_us"] = pa.chunked_array([_since_first(source, micros)])
    for name in _WHOLE:
        if name in columns:
            columns[name] = _whole(source, taken[name], columns[name])
    _tell(source, [name for name in arrow.column_names if name not in taken.values()])
    return table_of(str(source.path), pa.table(columns), taken), taken


def _arrow(source: Source, frame: Frame) -> pa.Table:
    import pyarrow as pa

    try:
        table = pa.table(_with_index(frame))
    except (pa.ArrowException, TypeError, ValueError) as error:
        said = _mixed(frame) or f"cannot be read as a table: {' '.join(str(error).split())[:200]}"
        raise source.error(said) from None
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise source.error(f"{name}: two columns have this name")
    return table.select([name for name in names if not _INDEX.fullmatch(name)])


def _with_index(frame: Any) -> Any:
    """The frame, with pandas' index as a column if it has a name; of evenly spaced numbers Arrow gets none."""
    has_name = getattr(getattr(frame, "index", None), "name", None) is not None
    return frame.reset_index() if has_name else frame


def _mixed(frame: Any) -> str | None:
    """Where a column of pandas holds values of two kinds, which Arrow does not take."""
    for name in getattr(frame, "columns", ()):
        values = frame[name].tolist() if str(getattr(frame[name], "dtype", "")) == "object" else []
        kinds = {row: type(value).__name__ for row, value in enumerate(values) if value is not None}
        for row, kind in kinds.items():
            if kind != (first := next(iter(kinds.values()))):
                return f"row {row}: {name}: {values[row]!r} is of another kind than the first value, {first}"
    return None


def _roles(source: Source, names: Sequence[str]) -> dict[str, str]:
    """The column of each role, as asked for, as in traces, or by usual names."""
    given = source.options.columns or {}
    has_tokens = not set(TOKEN_IDS).isdisjoint(names)
    roles = [role for role, ours in _OURS.items() if role in given or ours not in LENGTHS or not has_tokens]
    ours = {role: name for role, name in _OURS.items() if role in roles and name in names}
    known = replace(source.options, columns={**ours, **given})
    asked = _FrameSource(source.path, known)
    chosen = choose_columns(asked, names, roles)
    if "arrival" not in chosen:
        raise source.error(asked.assumed[-1])
    source.assumed += asked.assumed
    return chosen


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in a type that traces have: no views, no categories, no lists of one length."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        return column.cast(pa.large_list(kind.value_type))
    if pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type):
        text = pa.large_string()
        return pa.chunked_array([each.dictionary.cast(text).take(each.indices) for each in column.chunks], text)
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    return column.cast(pa.large_string()) if pa.types.is_string_view(kind) else column


def _arrivals(source: Source, name: str, column: pa.ChunkedArray) -> Ints:
    """Times as µs, dates since 1970."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_date(kind):
        raise source.error(f"{name}: expected dates with times, got {kind}, which has days only")
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind):
        if source.options.time_unit is not None:
            raise source.error(f"{name}: holds {kind}, which has its unit; leave out time_unit")
        _refuse(source, name, pc.is_null(column), column, "must not be null")
        micros = pa.duration("us") if pa.types.is_duration(kind) else pa.timestamp("us", getattr(kind, "tz", None))
        since: Ints = column.cast(micros, safe=False).cast(pa.int64()).to_numpy()
        return since
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pa.table({name: pc.fill_null(column.cast(pa.string()), "")})
        texts = Columns(source, np.arange(len(column)), text, "row")
        since = texts.dates_us(name)
        texts.good()
        return since
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise source.error(f"{name}: expected times, got {kind}")
    return _micros(source, name, column)


def _micros(source: Source, name: str, column: pa.ChunkedArray) -> Ints:
    """Numbers of whatever unit as whole µs."""
    import pyarrow.compute as pc

    _refuse(source, name, pc.is_null(column), column, "must not be null")
    times: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    _refuse(source, name, ~np.isfinite(times), column, "must be a number")
    if not len(times):
        return times.astype(np.int64)
    micros = times * TIME_UNITS[unit_of(source, name, times[:_SAMPLE].tolist())]
    _refuse(source, name, abs(micros) > MOST_US, column, f"must lie within {MOST_US} µs")
    return np.rint(micros).astype(np.int64)


def _whole(source: Source, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers as integers, which pandas makes fractions of beside missing ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _refuse(source, name, pc.is_valid(column), column, "must be a whole number")
    if not pa.types.is_floating(kind):
        return column
    _refuse(source, name, pc.is_null(column), column, "must not be null")
    values = column.to_numpy().astype(np.float64)  # half floats end below the bound
    _refuse(source, name, ~((values == np.rint(values)) & (abs(values) < 2.0**62)), column, "must be a whole number")
    return pa.chunked_array([values.astype(np.int64)])


def _refuse(source: Source, name: str, wrong: Any, column: pa.ChunkedArray, problem: str) -> None:
    """Report the first row of those that are wrong, if any are."""
    rows = np.flatnonzero(np.asarray(wrong))
    if len(rows):
        row = int(rows[0])
        found = column[row].as_py()
        raise source.error(f"row {row}: {name}: {problem}" + ("" if found is None else f", got {found!r}"))


def _since_first(source: Source, arrival_us: Ints) -> Ints:
    """Arrivals that count from the first one, as those of converted traces do; dates are left to the run."""
    first_us = int(arrival_us.min(initial=MOST_US))
    if not len(arrival_us) or first_us == 0 or first_us >= EPOCH_US:
        return arrival_us
    source.assume(f"arrivals count from the first one, at {first_us / 1e6:.6g} s")
    return arrival_us - first_us


def _tell(source: Source, unused: Sequence[str]) -> None:
    """Say what was taken for granted, and which columns change nothing; whoever names columns has chosen."""
    if source.assumed:
        _log.warning("%s: %s; blis.FrameWorkload takes columns and time_unit", source.path, "; ".join(source.assumed))
    for text in source.doubts:
        _log.warning("%s: %s", source.path, text)
    unused = [name for name in unused if name not in METADATA]
    if unused:
        level = logging.WARNING if source.options.columns is None else logging.INFO
        _log.log(level, "%s: columns that are not used: %s", source.path, ", ".join(unused)[:200])
