"""Length distributions in workload specs: ``{type, params, file}``."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from blis.errors import ConfigError, WorkloadError
from blis.files.decode import Section, read_json
from blis.workload.lengths import (
    MAX_TOKENS,
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Gaussian,
    Lengths,
    LogNormal,
    ParetoLogNormal,
)

#: A think time is at most eleven days.
_MAX_THINK_US = 10**12

#: Parameters and weights stay where sums and products of them are still numbers.
_MOST, _MOST_LOG = 1e15, 1e6

_PARAMS = {
    "constant": ("value",),
    "gaussian": ("mean", "std_dev"),
    "exponential": ("mean",),
    "lognormal": ("mu", "sigma"),
    "pareto_lognormal": ("alpha", "xm", "mu", "sigma", "mix_weight"),
    "empirical": (),
}


def positive(section: Section, key: str, most: float = math.inf) -> float:
    """Read a number > 0."""
    value = section.number(key, most=most)
    if value <= 0:
        section.fail(key, f"must be > 0, got {value:g}")
    return value


def read_think_time(section: Section) -> Lengths:
    """Read ``think_time_us``: whole µs, or a distribution of them; 0 if absent."""
    key = "think_time_us"
    if section.has(key) and section.holds_mapping(key):
        return read_lengths(section, key, least=0, most=_MAX_THINK_US)
    value = section.integer(key, 0)
    if value > _MAX_THINK_US:
        section.fail(key, f"must be at most {_MAX_THINK_US}, got {value}")
    return Lengths(Constant(value), value, value)


def read_lengths(
    section: Section, key: str, *, least: int, usual: int | None = None, most: int = MAX_TOKENS
) -> Lengths:
    """Read a distribution of whole numbers.

    Args:
        section: where it stands.
        key: under which key.
        least: the smallest value that may be asked for.
        usual: ``min`` where it is not given; None: ``least``.
        most: the largest value that may be asked for, and ``max`` where it is not given.

    Raises:
        ConfigError: a type, parameter, weight or file is missing, unknown or wrong.
        WorkloadError: likewise, in a CSV file of weights.
    """
    inner = section.section(key)
    kind = inner.text("type", valid=_PARAMS)
    params = inner.optional(inner.section, "params") or Section({}, inner.source, f"{inner.path}.params")
    if kind == "empirical":
        limits = least, most
        distribution: Distribution = _empirical(inner, params, least, most)
    else:
        if inner.has("file"):
            inner.fail("file", f"only empirical distributions have one, not {kind}")
        inner.optional(inner.text, "file")
        params.require(_PARAMS[kind])
        limits = _limits(params, least, usual or least, most) if kind != "constant" else (least, most)
        distribution = _parametric(kind, params, limits)
        params.finish()
    inner.finish()
    return Lengths(distribution, *limits)


def _limits(params: Section, least: int, usual: int, most: int) -> tuple[int, int]:
    low = params.integer("min", usual, least=least)
    high = params.integer("max", most, least=least)
    if not low <= high <= most:
        params.fail("max", f"must lie in [{low}, {most}], got {high}")
    return low, high


def _parametric(kind: str, params: Section, limits: tuple[int, int]) -> Distribution:
    if kind == "constant":
        value = params.integer("value", least=limits[0])
        if value > limits[1]:
            params.fail("value", f"must be at most {limits[1]}, got {value}")
        return Constant(value)
    if kind == "gaussian":
        return Gaussian(params.number("mean", most=_MOST), params.number("std_dev", most=_MOST))
    if kind == "exponential":
        return Exponential(positive(params, "mean", _MOST))
    mu, sigma = params.number("mu", least=-_MOST_LOG, most=_MOST_LOG), params.number("sigma", most=_MOST_LOG)
    if kind == "lognormal":
        return LogNormal(mu, sigma)
    weight = params.number("mix_weight", most=1.0)
    return ParetoLogNormal(positive(params, "alpha"), positive(params, "xm", _MOST), mu, sigma, weight)


def _empirical(section: Section, params: Section, least: int, most: int) -> Empirical:
    name = section.optional(section.text, "file")
    if name is None:
        if not params.names():
            section.fail("params", "missing; an empirical distribution has weights by value, or a file of them")
        return _weights(params, least, most)
    if params.names():
        section.fail("file", "cannot be combined with params; give either")
    path = Path(section.source).parent / name
    if path.suffix.lower() == ".json":
        return _weights(read_json(path), least, most)
    if path.suffix.lower() == ".csv":
        return _weights_of_csv(path, least, most)
    return section.fail("file", f"must be a .json or .csv file, got {name!r}")


def _weights(section: Section, least: int, most: int) -> Empirical:
    weights = {}
    for name in section.names():
        value = int(name) if name.isascii() and name.isdigit() else -1
        if not least <= value <= most:
            section.fail(name, f"must be a whole number in [{least}, {most}] with its weight")
        weights[value] = section.number(name, most=_MOST)
    if not any(weights.values()):
        where = f"{section.source}: {section.path}" if section.path else section.source
        raise ConfigError(f"{where}: no weight is > 0")
    values = sorted(weights)
    return Empirical(tuple(float(value) for value in values), tuple(weights[value] for value in values))


def _weights_of_csv(path: Path, least: int, most: int) -> Empirical:
    weights: dict[int, float] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.reader(file), start=1):
                if not row or (line == 1 and row == ["value", "weight"]):
                    continue
                value, weight = _weight_row(row, f"{path}:{line}", least, most)
                if value in weights:
                    raise WorkloadError(f"{path}:{line}: value given twice: {value}")
                weights[value] = weight
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: cannot be read: {getattr(error, 'strerror', 'not UTF-8 text')}") from None
    except csv.Error as error:
        raise WorkloadError(f"{path}: cannot be read: {error}") from None
    if not any(weights.values()):
        raise WorkloadError(f"{path}: no weight is > 0")
    values = sorted(weights)
    return Empirical(tuple(float(value) for value in values), tuple(weights[value] for value in values))


def _weight_row(row: list[str], where: str, least: int, most: int) -> tuple[int, float]:
    if len(row) != 2:
        raise WorkloadError(f"{where}: must be value,weight, got {len(row)} fields")
    try:
        value, weight = int(row[0]), float(row[1])
    except ValueError:
        raise WorkloadError(f"{where}: must be a whole number and its weight, got {','.join(row)}") from None
    if not least <= value <= most:
        raise WorkloadError(f"{where}: value must lie in [{least}, {most}], got {value}")
    if not 0 <= weight <= _MOST:
        raise WorkloadError(f"{where}: weight must be a number in [0, {_MOST:g}], got {row[1]}")
    return value, weight
