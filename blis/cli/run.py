"""``blis run``: one simulation, from flags to figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from blis.cli.console import LOG_LEVELS, log, progress_bar
from blis.cli.options import (
    GroupedCommand,
    engine_options,
    from_flags,
    model_options,
    output_options,
    workload_options,
)
from blis.config.schema import Deployment, EngineOptions
from blis.errors import InputError
from blis.files import check_output

if TYPE_CHECKING:
    from blis.api import Workload
    from blis.outcomes import Outcomes

_ARRIVAL_FLAGS = {"rate", "num_requests", "arrival", "arrival_cv", "seed"}
_LENGTH_FLAGS = {
    "prefix_tokens",
    *(f"{part}_tokens{suffix}" for part in ("prompt", "output") for suffix in ("", "_stdev", "_min", "_max")),
}
_TRACE_FLAGS = {"workload_traces_filepath"}

_INTERRUPTED = 130


@click.command(cls=GroupedCommand)
@model_options
@workload_options
@engine_options
@output_options
@click.pass_context
def run(ctx: click.Context, /, **flags: Any) -> int:
    """Simulate one vLLM instance and print its metrics as JSON."""
    log.setLevel(LOG_LEVELS[flags["log"]])
    _warn_of_idle_flags(ctx, flags["workload"])
    _check_outputs(flags)
    from blis import api
    from blis.metrics.summary import WallClock, summarize

    began, clock = datetime.now(), [time.perf_counter()]
    simulation = api.prepare(
        from_flags(Deployment, flags),
        _workload(flags),
        engine=from_flags(EngineOptions, flags),
        horizon_us=flags["horizon_us"],
        seed=flags["seed"],
    )
    clock.append(time.perf_counter())
    with progress_bar() as progress:
        outcomes = simulation.run(progress)
    clock.append(time.perf_counter())
    wall_clock = WallClock(_stamp(began), _stamp(datetime.now()), clock[2] - clock[0]) if flags["timestamps"] else None
    summary = summarize(outcomes, wall_clock)
    _write(outcomes, summary, flags)
    clock.append(time.perf_counter())
    load_s, simulate_s, write_s = (later - earlier for earlier, later in pairwise(clock))
    log.info("took: load %.2f s, simulate %.2f s, write %.2f s", load_s, simulate_s, write_s)
    return _INTERRUPTED if outcomes.result.interrupted else 0


def _workload(flags: Mapping[str, Any]) -> Workload:
    from blis.api import preset
    from blis.workload.distribution import DistributionWorkload

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


def _warn_of_idle_flags(ctx: click.Context, workload: str) -> None:
    """Say which of the given flags do nothing with this kind of workload."""
    useful = {"traces": _TRACE_FLAGS, "distribution": _ARRIVAL_FLAGS | _LENGTH_FLAGS}.get(workload, _ARRIVAL_FLAGS)
    for param in ctx.command.params:
        idle = param.name in (_ARRIVAL_FLAGS | _LENGTH_FLAGS | _TRACE_FLAGS) - useful
        if idle and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            log.warning("%s has no effect with --workload %s", param.opts[0], workload)


def _check_outputs(flags: Mapping[str, Any]) -> None:
    """Refuse outputs that could not be written, or would overwrite each other or the trace."""
    taken = {"--workload-traces-filepath": flags["workload_traces_filepath"]}
    for flag, path in (("--results-path", flags["results_path"]), ("--outcomes-path", flags["outcomes_path"])):
        if path is None:
            continue
        check_output(path)
        for other, used in taken.items():
            if used is not None and used.resolve() == path.resolve():
                raise InputError(f"{path}: given for both {other} and {flag}")
        taken[flag] = path


def _write(outcomes: Outcomes, summary: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
    from blis.report.json_report import metrics_block, write_results

    try:
        if flags["results_path"] is not None:
            write_results(outcomes, flags["results_path"], summary)
        if flags["outcomes_path"] is not None:
            outcomes.write_parquet(flags["outcomes_path"])
    finally:  # a full disk must not cost the figures
        click.echo(metrics_block(summary))


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
