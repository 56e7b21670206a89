"""Which workload the flags of a command, or the keys of a file, ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from blis.api import preset
from blis.config.schema import PRESETS, WORKLOADS
from blis.errors import ConfigError, nearest
from blis.workload.distribution import DistributionWorkload
from blis.workload.spec import WorkloadSpec
from blis.workload.spec_file import load_workload_spec
from blis.workload.traces.loading import TraceFile
from blis.workload.workload import Workload

_ARRIVAL_FIELDS = {"rate", "num_requests", "arrival", "arrival_cv", "seed"}
_LENGTH_FIELDS = {
    "prefix_tokens",
    *(f"{part}_tokens{suffix}" for part in ("prompt", "output") for suffix in ("", "_stdev", "_min", "_max")),
}
_TRACE_FIELDS = {"workload_traces_filepath"}

#: Which fields say something about which kind of workload; presets go by the arrival flags.
_USEFUL_FIELDS = {
    "traces": _TRACE_FIELDS,
    "distribution": _ARRIVAL_FIELDS | _LENGTH_FIELDS,
    "workload_spec": {"num_requests", "seed"},
    "scenario": {"rate", "num_requests", "seed"},
    "trace_header": {"seed"},
}
_WORKLOADS = ("trace_header", "workload_spec", "scenario")

_ARRIVALS = ("rate", "num_requests", "arrival", "arrival_cv")


def workload_of(values: Mapping[str, Any], load_spec: Callable[[Path], WorkloadSpec] = load_workload_spec) -> Workload:
    """The workload that is asked for.

    Args:
        values: what was said, by the names of the fields that it fills; what was not said is not there.
        load_spec: reads a workload spec.

    Raises:
        InputError: begins with the name of what is wrong or missing.
    """
    if "workload_spec" in values and "scenario" in values:
        raise ConfigError("workload_spec: cannot be combined with scenario; give either")
    if "workload_spec" in values:
        return _at_most(load_spec(values["workload_spec"]), values.get("num_requests"))
    if "scenario" in values:
        from blis.workload.scenarios import scenario

        return scenario(values["scenario"], **_only(values, ("rate", "num_requests")))
    kind = values.get("workload", "distribution")
    if isinstance(kind, Workload):  # from Python
        return kind
    if kind == "traces":
        if "workload_traces_filepath" not in values:
            raise ConfigError("workload_traces_filepath: missing; workload traces needs it")
        return TraceFile(values["workload_traces_filepath"])
    if kind == "distribution":
        return DistributionWorkload(**_only(values, [field.name for field in fields(DistributionWorkload)]))
    if kind not in PRESETS:
        raise ConfigError(f"workload: unknown name {kind!r}; {nearest(kind, WORKLOADS)}")
    return preset(kind, defaults_filepath=values.get("defaults_filepath"), **_only(values, _ARRIVALS))


def idle_fields(values: Mapping[str, Any]) -> tuple[set[str], str, Any]:
    """Which fields do nothing with the kind of workload that is asked for.

    Args:
        values: by field; None or not there: not said.

    Returns:
        These fields, said or not; the field that names the kind, and its value.
    """
    kind = next((name for name in _WORKLOADS if values.get(name) is not None), "workload")
    value = values.get(kind) or "distribution"
    useful = _USEFUL_FIELDS.get(value if kind == "workload" else kind, _ARRIVAL_FIELDS)
    if kind == "workload" and value not in WORKLOADS:  # one of somebody's own, in Python
        useful = {"seed"}
    return (_ARRIVAL_FIELDS | _LENGTH_FIELDS | _TRACE_FIELDS | {"workload"}) - useful - {kind}, kind, value


def _at_most(spec: WorkloadSpec, most: int | None) -> WorkloadSpec:
    if most is not None and most < 1:
        raise ConfigError(f"num_requests: must be at least 1, got {most}")
    if most is None or (spec.num_requests is not None and spec.num_requests <= most):
        return spec
    return replace(spec, num_requests=most)


def _only(values: Mapping[str, Any], names: list[str] | tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}
