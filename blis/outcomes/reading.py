"""Outcomes from a Parquet file, a row group at a time, so that nothing is there twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER, NONE
from blis.errors import InputError
from blis.outcomes.outcomes import (
    CONNECTION,
    HISTOGRAM,
    NAMES,
    RESULT_COLUMNS,
    SCALARS,
    STATUS_NAMES,
    Ints,
    Outcomes,
    instance_ids,
    unpacked,
)
from blis.simulation.result import EngineResult, InstanceFigures
from blis.workload.requests import ClientDetails, Labels, RequestTable, Sessions

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_NUMBERS = ("input_tokens", "output_tokens", "session_id", "turn", *RESULT_COLUMNS)
#: Of columns that files lack if no connections are known, or no plans were made ahead; all others are int64.
_DTYPES = {**dict(zip(CONNECTION, (np.int64, np.float64), strict=True)), "first_started_us": np.int64}

#: What reading stumbles over where names, types or shapes are not those that were written.
_NO_OUTCOMES = (
    *(KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, NotImplementedError),
    RecursionError,
)

Column = NDArray[Any]


def read_outcomes(path: str | Path) -> Outcomes:
    """Read what `Outcomes.write_parquet` wrote.

    Raises:
        InputError: the file cannot be read, or is none of ours.
    """
    import pyarrow as pa

    try:
        return _read(Path(path))
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    except _NO_OUTCOMES as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{path}: not a file of outcomes as blis writes it ({said})") from error


def _read(path: Path) -> Outcomes:
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    metadata = schema.metadata or {}
    if b"blis.run" not in metadata:
        raise InputError(f"{path}: not a file of outcomes: its schema has no metadata 'blis.run'")
    run = json.loads(metadata[b"blis.run"])
    readers = _readers(run, schema.names)
    if missing := readers.keys() - set(schema.names):
        raise InputError(f"{path}: not a file of outcomes: it has no column {min(missing)!r}")
    with pq.ParquetFile(path, read_dictionary=list(NAMES)) as file:
        columns = _columns(file, readers)
    return _outcomes(columns, json.loads(metadata[b"blis"]), run)


def _readers(run: Mapping[str, Any], found: Sequence[str]) -> dict[str, Callable[[pa.Array], Column]]:
    """What makes plain values of each column: of names their places, and of ids of requests their numbers."""
    names = {
        "instance_id": instance_ids(len(run["instances"]["end_us"])),
        "slo_class": run["slo_classes"] or (),
        "tenant_id": run["tenants"] or (),
        "status": STATUS_NAMES,
    }
    return {
        "request_id": _request_numbers,
        **dict.fromkeys(_NUMBERS, _numbers),
        **{name: partial(_numbers, dtype=dtype) for name, dtype in _DTYPES.items() if name in found},
        **{name: partial(_places, known=known) for name, known in names.items()},
    }


def _columns(file: pq.ParquetFile, readers: Mapping[str, Callable[[pa.Array], Column]]) -> dict[str, Column]:
    columns = {name: np.empty(file.metadata.num_rows, _DTYPES.get(name, np.int64)) for name in readers}
    start = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=list(readers))
        for name, read in readers.items():
            columns[name][start : start + len(table)] = read(table[name].combine_chunks())
        start += len(table)
    return columns


def _numbers(column: pa.Array, dtype: Any = np.int64) -> Column:
    """(n,) numbers, `NEVER` where there is none.

    Buffers are read as they are, because Arrow's `to_numpy` and `fill_null` import pandas where it is installed.
    """
    import pyarrow as pa

    column = column.cast(pa.from_numpy_dtype(dtype))
    is_known, values = column.buffers()
    rows = slice(column.offset, column.offset + len(column))
    numbers = np.frombuffer(values, dtype)[rows]
    if not column.null_count:
        return numbers
    return np.where(np.unpackbits(np.frombuffer(is_known, np.uint8), bitorder="little")[rows], numbers, NEVER)


def _request_numbers(column: pa.Array) -> Column:
    """(n,) the numbers in ids of requests."""
    import pyarrow.compute as pc

    return _numbers(pc.utf8_slice_codeunits(column, len("request_")))


def _places(column: pa.DictionaryArray, known: Sequence[str]) -> Column:
    """(n,) places of names among those that are known; -1: none is given."""
    place = {name: number for number, name in enumerate(known)}
    found = [place.get(name, NONE) for name in column.dictionary.to_pylist()]
    return np.array([*found, NONE])[_numbers(column.indices)]


def _outcomes(columns: dict[str, Column], metadata: Mapping[str, Any], run: Mapping[str, Any]) -> Outcomes:
    def labels(name: str, names: Sequence[str] | None) -> Labels | None:
        return None if names is None else Labels(columns[name], tuple(names))

    if (columns["status"] == NONE).any():
        raise ValueError("status: one that there is not")
    requests = RequestTable(
        np.maximum(columns["arrival_us"], 0),
        columns["input_tokens"],
        columns["output_tokens"],
        slo_class=labels("slo_class", run["slo_classes"]),
        tenant=labels("tenant_id", run["tenants"]),
        sessions=_sessions(columns["session_id"], columns["turn"]),
        details=_details(*(columns[name] for name in CONNECTION)) if CONNECTION[0] in columns else None,
        request_number=columns["request_id"],
        unlisted=run.get("unlisted", 0),  # older files list everybody
    )
    for name in (*SCALARS, "client_cost_us", "unlisted"):
        if not isinstance(run.get(name, 0), int | float | None):
            raise TypeError(f"{name}: {type(run[name]).__name__}")
    values: dict[str, Any] = {name: run[name] for name in SCALARS}
    values |= {name: columns[name] for name in RESULT_COLUMNS}
    values["first_started_us"] = columns.get("first_started_us", columns["first_scheduled_us"])
    values |= dict(zip(HISTOGRAM, unpacked(run["itl"], len(HISTOGRAM)), strict=True))
    result = EngineResult(
        status=columns["status"],
        instance=columns["instance_id"],
        instances=InstanceFigures(**{name: np.array(values, np.int64) for name, values in run["instances"].items()}),
        **values,
    )
    return Outcomes(requests, result, run["client_cost_us"], metadata)


def _sessions(session: Ints, turn: Ints) -> Sessions | None:
    """What outcomes say of sessions: who belongs to which, not who waited for whom."""
    if (session == NONE).all():
        return None
    nobody = np.full(len(session), NONE)
    return Sessions(session, np.maximum(turn, 0), nobody, np.zeros(len(session), np.int64))


def _details(rtt_us: Ints, bandwidth_mbps: NDArray[np.float64]) -> ClientDetails:
    """Details of requests of which only the clients' connections are known."""
    count = len(rtt_us)
    none, zeros = Labels(np.full(count, NONE), ()), np.zeros(count, np.int64)
    return ClientDetails(
        client=none,
        prefix_group=none,
        prefix_tokens=zeros,
        streaming=np.zeros(count, np.bool_),
        modality_tokens=np.zeros((count, 4), np.int64),
        reason_ratio=np.zeros(count),
        rtt_us=rtt_us,
        bandwidth_mbps=bandwidth_mbps,
    )
