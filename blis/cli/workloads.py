"""From the flags about workloads to the workload they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from blis.cli.console import log

if TYPE_CHECKING:
    from blis.api import Workload

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
    from blis.workload_flags import workload_of

    return workload_of({name: flags[name] for name in given})


def warn_of_idle_flags(ctx: click.Context, flags: Mapping[str, Any]) -> None:
    """Say which of the given flags do nothing with this kind of workload."""
    others = ("trace_header", "workload_spec", "scenario")
    kind = next((flag for flag in others if flags.get(flag) is not None), "workload")
    useful = _USEFUL_FLAGS.get(flags["workload"] if kind == "workload" else kind, _ARRIVAL_FLAGS)
    for param in ctx.command.params:
        idle = param.name in (_ARRIVAL_FLAGS | _LENGTH_FLAGS | _TRACE_FLAGS | {"workload"}) - useful - {kind}
        if idle and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            log.warning("%s has no effect with --%s %s", param.opts[0], kind.replace("_", "-"), flags[kind])
