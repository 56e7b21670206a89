"""Logs of single steps: what vLLM prints of them, or a table of batches and times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError
from blis.files.parquet import frame_of, read_table
from blis.workload.requests import Ints

Floats = NDArray[np.float64]

#: Columns of a table of steps: the arguments of `blis.latency.law.StepTimeFunction`, and the time. The first two must
#: be there.
LOADS = (
    *("prefill_tokens", "num_decodes", "decode_context_tokens", "attention_pairs"),
    *("prefill_context_tokens", "num_prefills", "max_prefill_context_tokens"),
)
DURATION = "duration_us"
_NEEDED = LOADS[:2]

#: What vLLM prints of a step with ``--enable-logging-iteration-details``.
_LINE = re.compile(
    rb"Iteration\(\d+\): (?P<prefills>\d+) context requests, (?P<prefill_tokens>\d+) context tokens, "
    rb"(?P<decodes>\d+) generation requests, \d+ generation tokens, iteration elapsed time: (?P<ms>[\d.]+) ms"
)
#: No step of a real model on a real GPU is shorter; vLLM prints such times when it schedules asynchronously and does
#: not wait for the GPU.
_LEAST_STEP_US = 100.0
#: More is no time and no number of tokens.
_MOST = 1e15
#: Fewer cannot tell coefficients and noise apart.
FEWEST_STEPS = 50


@dataclass(frozen=True)
class StepLog:
    """Steps that were measured one by one.

    Attributes:
        loads: (s, 7) their batches; 0 in columns that are not known.
        duration_us: (s,) how long each took, > 0.
        known: names of the columns of ``loads`` that the log tells.
    """

    loads: Ints
    duration_us: Floats
    known: frozenset[str]

    def __len__(self) -> int:
        return len(self.loads)


def read_step_log(path: Path) -> StepLog:
    """Read a log of vLLM, or a table of steps (``.csv`` or ``.parquet``).

    Raises:
        WorkloadError: it cannot be read, holds no steps, or times that are none; names file, and row or column.
    """
    read = {".parquet": _read_table, ".csv": _read_table}.get(path.suffix.lower(), _read_vllm)
    try:
        log = read(path)
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(log) < FEWEST_STEPS:
        raise WorkloadError(f"{path}: holds {len(log)} steps; at least {FEWEST_STEPS} are needed")
    short = int((log.duration_us < _LEAST_STEP_US).sum())
    if 2 * short > len(log):
        raise WorkloadError(
            f"{path}: {short} of {len(log)} steps took less than {_LEAST_STEP_US / 1e3:g} ms: the server did not wait"
            " for its GPU; run vLLM with --no-async-scheduling"
        )
    keep = log.duration_us >= _LEAST_STEP_US
    return StepLog(log.loads[keep], log.duration_us[keep], log.known)


def _read_vllm(path: Path) -> StepLog:
    with path.open("rb") as file:
        found = list(_vllm_steps(file))
    if not found:
        raise WorkloadError(
            f"{path}: has no line 'Iteration(…): … iteration elapsed time: … ms'; "
            "vLLM prints them with --enable-logging-iteration-details"
        )
    prefills, prefill_tokens, decodes, duration_us = np.array(found).T
    loads = np.zeros((len(found), len(LOADS)), dtype=np.int64)
    known = {"prefill_tokens": prefill_tokens, "num_decodes": decodes, "num_prefills": prefills}
    for name, values in known.items():
        loads[:, LOADS.index(name)] = values
    ran = (prefill_tokens + decodes > 0) & (duration_us > 0)
    return StepLog(loads[ran], duration_us[ran], frozenset(known))


def _vllm_steps(lines: Any) -> Iterator[tuple[float, ...]]:
    for line in lines:
        found = _LINE.search(line)
        if found is not None:
            prefills, prefill_tokens, decodes, ms = (min(float(part), _MOST) for part in found.groups())
            yield prefills, prefill_tokens, decodes, ms * 1e3


def _read_table(path: Path) -> StepLog:
    import polars as pl
    import pyarrow as pa
    from polars.exceptions import PolarsError

    try:
        is_parquet = path.suffix.lower() == ".parquet"
        frame = frame_of(read_table(path)) if is_parquet else pl.read_csv(path)
    except (PolarsError, pa.ArrowException) as error:
        raise WorkloadError(f"{path}: cannot be read as a table: {str(error).splitlines()[0]}") from None
    missing = [name for name in (*_NEEDED, DURATION) if name not in frame.columns]
    if missing:
        raise WorkloadError(f"{path}: column {missing[0]} is missing; needed: {', '.join((*_NEEDED, DURATION))}")
    known = [name for name in LOADS if name in frame.columns]
    columns = {name: _column(path, frame[name]) for name in (*known, DURATION)}
    loads = np.zeros((len(frame), len(LOADS)), dtype=np.int64)
    for name in known:
        loads[:, LOADS.index(name)] = columns[name]
    ran = (columns["prefill_tokens"] + columns["num_decodes"] > 0) & (columns[DURATION] > 0)
    return StepLog(loads[ran], columns[DURATION][ran], frozenset(known))


def _column(path: Path, series: Any) -> Floats:
    if not series.dtype.is_numeric():
        raise WorkloadError(f"{path}: {series.name}: expected numbers, got {series.dtype}")
    values: Floats = series.cast(float).fill_null(float("nan")).to_numpy()
    bad = np.flatnonzero(~((values >= 0) & (values <= _MOST)))
    if len(bad):
        where = f"{path}: row {bad[0] + 1}: {series.name}"
        raise WorkloadError(f"{where}: must be a number in [0, {_MOST:g}], got {values[bad[0]]}")
    return values
