"""``blis run``: one simulation, from flags to figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from blis.cli.console import LOG_LEVELS, log, progress_bar
from blis.cli.options import (
    GroupedCommand,
    cluster_options,
    engine_options,
    evaluation_options,
    from_flags,
    model_options,
    output_options,
    workload_options,
)
from blis.cli.policies import choose_policies
from blis.config.schema import Deployment, TraceOptions
from blis.errors import InputError
from blis.files import check_output, naming

if TYPE_CHECKING:
    from blis.api import Workload
    from blis.outcomes import Outcomes
    from blis.report.sections import Report

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
}
#: Flags that name files to read.
_INPUTS = ("workload_traces_filepath", "workload_spec", "policy_config", "trace_header", "trace_data")

_INTERRUPTED = 130


@click.command(cls=GroupedCommand)
@model_options
@workload_options
@engine_options
@cluster_options
@evaluation_options
@output_options
@click.pass_context
def run(ctx: click.Context, /, **flags: Any) -> int:
    """Simulate vLLM instances and print their metrics as JSON."""
    log.setLevel(LOG_LEVELS[flags["log"]])
    warn_of_idle_flags(ctx, flags)
    check_outputs(flags)
    given = {name for name in flags if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    return simulate(ctx, flags, lambda: _workload(flags, given))


def simulate(ctx: click.Context, flags: Mapping[str, Any], workload: Callable[[], Workload]) -> int:
    """Run what a command's flags describe and write what they ask for.

    Args:
        ctx: of the command.
        flags: of the groups for model, engine, cluster, evaluation and output, and ``seed``.
        workload: makes the workload, once the policies are known to be right.

    Returns:
        The exit code.
    """
    engine, cluster = choose_policies(ctx, flags)
    from blis import api
    from blis.metrics.summary import WallClock
    from blis.report.sections import Report

    given = {name for name in flags if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    began, clock = datetime.now(), [time.perf_counter()]
    with redirect_stdout(sys.stderr):  # what policies of the user's own print is no result
        simulation = api.prepare(
            from_flags(Deployment, flags),
            workload(),
            engine=engine,
            cluster=cluster,
            horizon_us=flags["horizon_us"],
            seed=flags["seed"] if "seed" in given else None,
            trace=_trace(flags),
        )
        clock.append(time.perf_counter())
        with progress_bar() as progress:
            outcomes = simulation.run(progress)
    clock.append(time.perf_counter())
    wall_clock = WallClock(_stamp(began), _stamp(datetime.now()), clock[2] - clock[0]) if flags["timestamps"] else None
    asked_for = {name: flags[name] for name in ("fitness_weights", "slo_targets_us", "summarize_trace")}
    try:
        if flags["trace_output"] is not None:
            created_at = began.isoformat(timespec="seconds") if flags["timestamps"] else None
            simulation.write_trace(outcomes, flags["trace_output"], created_at=created_at)
    finally:  # as below
        _write(Report(outcomes, **asked_for, wall_clock=wall_clock), flags)
    _warn_of_overload(outcomes)
    clock.append(time.perf_counter())
    load_s, simulate_s, write_s = (later - earlier for earlier, later in pairwise(clock))
    log.info("took: load %.2f s, simulate %.2f s, write %.2f s", load_s, simulate_s, write_s)
    interrupted = outcomes.result.interrupted or (outcomes.trace is not None and outcomes.trace.interrupted)
    return _INTERRUPTED if interrupted else 0


def _workload(flags: Mapping[str, Any], given: set[str]) -> Workload:
    from blis.workload_flags import workload_of

    return workload_of({name: flags[name] for name in given})


def _trace(flags: Mapping[str, Any]) -> TraceOptions | None:
    if flags["trace_level"] == "none":
        return None
    return TraceOptions(flags["counterfactual_k"], flags["regret_samples"], flags["trace_path"])


def warn_of_idle_flags(ctx: click.Context, flags: Mapping[str, Any]) -> None:
    """Say which of the given flags do nothing with this kind of workload."""
    kind = next((flag for flag in ("workload_spec", "scenario") if flags[flag] is not None), "workload")
    useful = _USEFUL_FLAGS.get(flags["workload"] if kind == "workload" else kind, _ARRIVAL_FLAGS)
    for param in ctx.command.params:
        idle = param.name in (_ARRIVAL_FLAGS | _LENGTH_FLAGS | _TRACE_FLAGS | {"workload"}) - useful - {kind}
        if idle and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            log.warning("%s has no effect with --%s %s", param.opts[0], kind.replace("_", "-"), flags[kind])


def check_outputs(flags: Mapping[str, Any]) -> None:
    """Refuse outputs that could not be written, or would overwrite each other or an input."""
    taken = [(f"--{name.replace('_', '-')}", flags.get(name)) for name in _INPUTS]
    for flag, path in _outputs(flags):
        check_output(path)
        for other, used in taken:
            if used is not None and used.resolve() == path.resolve():
                raise InputError(f"{path}: given for both {other} and {flag}")
        taken.append((flag, path))


def _outputs(flags: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Flag and path of every file that is going to be written."""
    for name in ("results_path", "outcomes_path", "trace_path"):
        if flags[name] is not None:
            yield f"--{name.replace('_', '-')}", flags[name]
    if flags["trace_output"] is not None:
        from blis.workload.tracev2 import trace_paths

        trace, content = trace_paths(flags["trace_output"])
        yield from (("--trace-output", path) for path in (trace.header, trace.data, content))


def _write(report: Report, flags: Mapping[str, Any]) -> None:
    """Write what was asked for and print the figures; a file that can't be written costs neither them nor others.

    Raises:
        OSError: what could not be written; of several, all but the last are logged.
    """
    from blis.report.json_report import write_results

    outcomes, failures = report.outcomes, []
    if outcomes.trace is not None and outcomes.trace.file_error is not None:
        failures.append(outcomes.trace.file_error)
    writers: dict[str, Callable[[Path], None]] = {
        "results_path": lambda path: write_results(outcomes, path, report.values()),
        "outcomes_path": outcomes.write_parquet,
    }
    try:
        for name, write in writers.items():
            try:
                if flags[name] is not None:
                    write(flags[name])
            except OSError as error:
                failures.append(error)
    finally:  # Ctrl-C must not cost the figures either
        with naming(Path("stdout")):
            click.echo(report.text())
    for failure in failures[:-1]:
        log.error("%s: %s", failure.filename, failure.strerror)
    if failures:
        raise failures[-1]


def _warn_of_overload(outcomes: Outcomes) -> None:
    backlog = outcomes.steady_state.backlog
    if backlog.stable is False:
        log.warning(
            "overloaded: the backlog grows by %.3g requests/s; percentiles are those of this run's length, "
            "not of a steady state",
            backlog.growth_per_s,
        )


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
