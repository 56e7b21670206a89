"""Native ServeGen data: measured clients whose rates, burstiness and lengths change through time.

A folder holds, per client k, ``chunk-k-trace.csv`` (no header; start in s, requests per second, coefficient of
variation, law of the gaps, ignored columns; one row per window, usually 600 s) and ``chunk-k-dataset.json`` (how often
each length was seen, by start of a longer window). Every window is played with its own figures.
"""

from __future__ import annotations

import ast
import csv
import dataclasses
import hashlib
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from blis.errors import ConfigError, WorkloadError, nearest
from blis.files.decode import Section, read_json, shown
from blis.workload.client_spec import ClientSpec, OpenLoop, ServeGenData
from blis.workload.clients import Client, Mix
from blis.workload.lengths import MAX_TOKENS, Constant, Empirical, Lengths
from blis.workload.renewal import Phase, Process

#: How long a trace's only row holds, s; otherwise the last row holds as long as the one before.
_WINDOW_S = 600.0
_LAWS: dict[str, Process] = {"gamma": "gamma", "weibull": "weibull", "poisson": "poisson", "": "poisson"}
#: Coefficients of variation that can be drawn.
_CV_RANGE = (0.003, 1000.0)
_LATEST_S = 1e12
_MOST_WEIGHT = 1e15
_NO_LENGTHS = Lengths(Constant(1), 1, 1)


@dataclass(frozen=True)
class _Row:
    """A window of a trace: from ``start_s`` to ``end_s`` on the data's clock."""

    start_s: float
    end_s: float
    rate: float
    cv: float
    process: Process


def load_servegen(data: ServeGenData, aggregate_rate: float | None = None) -> list[Client]:
    """Load the clients that are active in the span.

    Args:
        data: the folder and the span; its start becomes 0.
        aggregate_rate: all rates are multiplied so that this is their mean total over the span, requests per second;
            None: they stay as they are.

    Raises:
        ConfigError: no client, or none active in the span; a dataset is wrong (names file and key).
        WorkloadError: a trace is wrong (names file and line), or a window of a dataset has no start.
    """
    start_s = data.span_start
    rows = {trace: _span(_trace_rows(trace), data) for trace in _traces(data.path)}
    active = {trace: found for trace, found in rows.items() if found}
    if not active:
        raise ConfigError(f"{data.path}: no client is active between {start_s:g} s and {data.span_end or math.inf:g} s")
    scale = 1.0
    if aggregate_rate is not None:
        every = [row for found in active.values() for row in found]
        end_s = data.span_end or max(row.end_s for row in every)
        scale = aggregate_rate * (end_s - start_s) / sum(row.rate * (row.end_s - row.start_s) for row in every)
    return [_client(trace, found, start_s, scale) for trace, found in active.items()]


def digest(data: ServeGenData) -> str:
    """SHA-256 of all files that are read, in the order of their names."""
    sha = hashlib.sha256()
    for trace in _traces(data.path):
        for path in (trace, _dataset_of(trace)):
            sha.update(path.read_bytes())
    return sha.hexdigest()


def _traces(folder: str) -> list[Path]:
    paths = [path for path in Path(folder).iterdir() if re.fullmatch(r"chunk-\d+-trace\.csv", path.name)]
    if not paths:
        raise ConfigError(f"{folder}: no chunk-<number>-trace.csv in it")
    return sorted(paths, key=lambda path: int(path.name.split("-")[1]))


def _dataset_of(trace: Path) -> Path:
    return trace.with_name(trace.name.replace("-trace.csv", "-dataset.json"))


def _client(trace: Path, rows: list[_Row], start_s: float, scale: float) -> Client:
    chunk = trace.name.removesuffix("-trace.csv")
    phases = [_phase(row, start_s, scale) for row in rows]
    mixes = _mixes(_dataset_of(trace), start_s, max(row.end_s for row in rows))
    spec = ClientSpec(
        f"servegen-{chunk}", OpenLoop(rows[0].rate, rows[0].process), _NO_LENGTHS, _NO_LENGTHS, tenant_id=chunk
    )
    return Client(spec, tuple(phase for phase in phases if phase.start_us < phase.end_us), mixes)


def _phase(row: _Row, start_s: float, scale: float) -> Phase:
    start_us, end_us = (round((moment - start_s) * 1e6) for moment in (row.start_s, row.end_s))
    return Phase(start_us, end_us, row.rate * scale, row.process, row.cv)


def _span(rows: list[_Row], data: ServeGenData) -> list[_Row]:
    """The active rows, cut to the span."""
    end_s = data.span_end or math.inf
    cut = (
        dataclasses.replace(row, start_s=max(row.start_s, data.span_start), end_s=min(row.end_s, end_s)) for row in rows
    )
    return [row for row in cut if row.start_s < row.end_s and row.rate > 0]


def _trace_rows(path: Path) -> list[_Row]:
    found: list[tuple[float, float, float, Process]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, fields in enumerate(csv.reader(file), start=1):
                row = _trace_row(fields, f"{path}:{line}")
                if found and row[0] <= found[-1][0]:
                    raise WorkloadError(f"{path}:{line}: start must be later than {found[-1][0]:g}, got {row[0]:g}")
                found.append(row)
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    except csv.Error as error:
        raise WorkloadError(f"{path}: cannot be read: {error}") from None
    if not found:
        raise WorkloadError(f"{path}: no rows")
    starts = [row[0] for row in found]
    last_s = starts[-1] - starts[-2] if len(starts) > 1 else _WINDOW_S
    ends = [*starts[1:], starts[-1] + last_s]
    return [_Row(start, end, rate, cv, law) for (start, rate, cv, law), end in zip(found, ends, strict=True)]


def _trace_row(fields: list[str], where: str) -> tuple[float, float, float, Process]:
    if len(fields) < 4:
        raise WorkloadError(f"{where}: must be start,rate,cv,pattern,…, got {len(fields)} fields")
    start, rate, cv = (
        _number(text, f"{where}: {name}") for text, name in zip(fields[:3], ("start", "rate", "cv"), strict=True)
    )
    pattern = fields[3].strip().lower()
    if pattern not in _LAWS:
        raise WorkloadError(f"{where}: pattern: unknown law {fields[3]!r}; {nearest(pattern, filter(None, _LAWS))}")
    process = _LAWS[pattern]
    if rate > 0 and process != "poisson" and not _CV_RANGE[0] <= cv <= _CV_RANGE[1]:
        raise WorkloadError(f"{where}: cv must lie in [{_CV_RANGE[0]:g}, {_CV_RANGE[1]:g}], got {fields[2]}")
    return start, rate, cv if process != "poisson" else 1.0, process


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LATEST_S:
        raise WorkloadError(f"{where} must be a number in [0, {_LATEST_S:g}], got {text!r}")
    return value


def _mixes(path: Path, start_s: float, end_s: float) -> tuple[Mix, ...]:
    """The lengths seen in windows of the span; each holds until the next one in which any were seen."""
    top = read_json(path)
    windows = []
    for name in top.names():
        start = _number(name, f"{path}: start of a window")
        section = top.section(name)
        texts = (section.text("input_tokens"), section.text("output_tokens"))
        if all(text.replace(" ", "") not in ("", "{}") for text in texts):
            windows.append((start, section))
    windows.sort(key=lambda window: window[0])
    if not windows:
        raise ConfigError(f"{path}: no window has lengths")
    starts = [start for start, _ in windows]
    ends = [*starts[1:], math.inf]
    held = [window for window, end in zip(windows, ends, strict=True) if end > start_s and window[0] < end_s]
    held = held or windows[:1]  # the first one seen says what was sent before
    moments = [0, *(round((start - start_s) * 1e6) for start, _ in held[1:])]
    if not all(before < after for before, after in pairwise(moments)):
        raise ConfigError(f"{path}: two windows have the same start")
    return tuple(_mix(section, moment) for (_, section), moment in zip(held, moments, strict=True))


def _mix(section: Section, start_us: int) -> Mix:
    reason = None
    if section.has("reason_ratio") and section.text("reason_ratio").replace(" ", "") not in ("", "{}"):
        ratios = _weights(section, "reason_ratio", 1.0)
        reason = Empirical(tuple(100.0 * value for value in ratios.values), ratios.weights)
    return Mix(
        start_us,
        Lengths(_weights(section, "input_tokens", MAX_TOKENS), 1, MAX_TOKENS),
        Lengths(_weights(section, "output_tokens", MAX_TOKENS), 0, MAX_TOKENS),
        reason,
    )


def _weights(section: Section, key: str, most: float) -> Empirical:
    """Read weights by value, a mapping written as a Python literal."""
    try:
        weights = ast.literal_eval(section.text(key))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        section.fail(key, "must be a Python dict of weights by value, cannot be parsed")
    if not isinstance(weights, dict):
        section.fail(key, f"must be a Python dict of weights by value, got {type(weights).__name__}")
    for value, weight in weights.items():
        if not _is_number(value, most) or not _is_number(weight, _MOST_WEIGHT):
            section.fail(
                key,
                f"values must be numbers in [0, {most:g}], weights in [0, {_MOST_WEIGHT:g}]; "
                f"got {shown(value)}: {shown(weight)}",
            )
    if not any(weights.values()):
        section.fail(key, "no weight is > 0")
    values = sorted(weights)
    return Empirical(tuple(float(value) for value in values), tuple(float(weights[value]) for value in values))


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
