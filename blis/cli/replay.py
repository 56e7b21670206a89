"""``blis replay``: the requests of a recorded TraceV2, served by what the flags describe."""

from __future__ import annotations

from typing import Any

import click

from blis.cli.console import set_verbosity
from blis.cli.engine_options import engine_options
from blis.cli.flags import GroupedCommand
from blis.cli.options import cluster_options, evaluation_options, model_options, output_options, replay_options
from blis.cli.run import check_outputs, simulate


@click.command(cls=GroupedCommand)
@model_options
@replay_options
@engine_options
@cluster_options
@evaluation_options
@output_options
@click.pass_context
def replay(ctx: click.Context, /, **flags: Any) -> int:
    """Simulate the requests of a TraceV2, each sent at its recorded time, and print metrics: tables or JSON."""
    set_verbosity(flags)
    check_outputs(flags)
    from blis.workload.traces.tracev2.tracev2 import TraceV2

    return simulate(ctx, flags, lambda: TraceV2(flags["trace_header"], flags["trace_data"]))
