"""From the flags about workloads to the workload they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from blis.cli.console import log

if TYPE_CHECKING:
    from blis.workload.workload import Workload


def given_flags(ctx: click.Context) -> set[str]:
    """Names of the flags that the user has set."""
    return {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}


def workload_from_flags(flags: Mapping[str, Any], given: set[str]) -> Workload:
    """What the flags describe.

    Args:
        flags: of the group for workloads, and ``defaults_filepath``.
        given: those that the user has set.
    """
    from blis.studies.workload_flags import workload_of

    return workload_of({name: flags[name] for name in given})


def warn_of_idle_flags(ctx: click.Context, flags: Mapping[str, Any]) -> None:
    """Say which of the given flags do nothing with this kind of workload."""
    from blis.studies.workload_flags import idle_fields

    idle, kind, value = idle_fields(flags)
    for param in ctx.command.params:
        if param.name in idle and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            log.warning("%s has no effect with --%s %s", param.opts[0], kind.replace("_", "-"), value)
