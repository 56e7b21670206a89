"""From the flags about workloads to the workload they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from blis.cli.console import log
from blis.cli.options import from_flags
from blis.errors import InputError

if TYPE_CHECKING:
    from blis.api import Workload
    from blis.workload.spec import WorkloadSpec

_ARRIVAL_FLAGS = {"rate", "num_requests", "arrival", "arrival_cv", "seed"}
_LENGTH_FLAGS = {
    "prefix_tokens",
    *(f"{part}_tokens{suffix}" for part in ("prompt", "output") for suffix in ("", "_stdev", "_min", "_max")),
}
_TRACE_FLAGS = {"workload_traces_filepath"}

#: Which flags say something about which kind of workload; presets go by the arrival flags.
_USEFUL_FLAGS = {
    "traces": _TRACE_FLAGS,
    "distribution": _ARRIVAL_FLAGS | _LENGTH_FLAGS,
    "workload_spec": {"num_requests", "seed"},
    "scenario": {"rate", "num_requests", "seed"},
    "trace_header": {"seed"},
}


def given_flags(ctx: click.Context) -> set[str]:
    """Names of the flags that the user has set."""
    return {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}


def workload_from_flags(flags: Mapping[str, Any], given: set[str]) -> Workload:
    """What the flags describe.

    Args:
        flags: of the group for workloads, and ``defaults_filepath``.
        given: those that the user has set.
    """
    from blis.api import preset
    from blis.workload.distribution import DistributionWorkload

    if flags["workload_spec"] is not None:
        return _spec(flags["workload_spec"], flags["num_requests"] if "num_requests" in given else None)
    if flags["scenario"] is not None:
        from blis.workload.scenarios import scenario

        return scenario(flags["scenario"], flags["rate"], num_requests=flags["num_requests"])
    kind = flags["workload"]
    if kind == "traces":
        if flags["workload_traces_filepath"] is None:
            raise click.UsageError("--workload traces needs --workload-traces-filepath")
        path: Path = flags["workload_traces_filepath"]
        return path
    if kind == "distribution":
        return from_flags(DistributionWorkload, flags)
    arrivals = {name: flags[name] for name in ("rate", "num_requests", "arrival", "arrival_cv")}
    return preset(kind, defaults_filepath=flags["defaults_filepath"], **arrivals)


def _spec(path: Path, most: int | None) -> WorkloadSpec:
    """Load a workload spec; at most ``most`` requests of it."""
    from blis.workload.spec_file import load_workload_spec

    if most is not None and most < 1:
        raise InputError(f"--max-prompts: must be at least 1, got {most}")
    spec = load_workload_spec(path)
    if most is None or (spec.num_requests is not None and spec.num_requests <= most):
        return spec
    return replace(spec, num_requests=most)


def warn_of_idle_flags(ctx: click.Context, flags: Mapping[str, Any]) -> None:
    """Say which of the given flags do nothing with this kind of workload."""
    if flags["workload_spec"] is not None and flags["scenario"] is not None:
        raise click.UsageError("--workload-spec and --scenario cannot be combined")
    others = ("trace_header", "workload_spec", "scenario")
    kind = next((flag for flag in others if flags.get(flag) is not None), "workload")
    useful = _USEFUL_FLAGS.get(flags["workload"] if kind == "workload" else kind, _ARRIVAL_FLAGS)
    for param in ctx.command.params:
        idle = param.name in (_ARRIVAL_FLAGS | _LENGTH_FLAGS | _TRACE_FLAGS | {"workload"}) - useful - {kind}
        if idle and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            log.warning("%s has no effect with --%s %s", param.opts[0], kind.replace("_", "-"), flags[kind])
