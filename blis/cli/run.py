"""``blis run``: one simulation, from flags to figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import EVENT_LEVELS, log, print_result, progress_bar, set_verbosity, wants_events, wants_table
from blis.cli.engine_options import engine_options
from blis.cli.flags import GroupedCommand, from_flags
from blis.cli.options import cluster_options, evaluation_options, model_options, output_options, workload_options
from blis.cli.pages import given_inputs
from blis.cli.policies import choose_policies
from blis.cli.workloads import given_flags, warn_of_idle_flags, workload_from_flags
from blis.config.schema import Deployment, TraceOptions
from blis.files.output import check_outputs as check_files
from blis.files.output import naming
from blis.files.printable import printable

if TYPE_CHECKING:
    from blis.outcomes.event_log.recording import EventLog
    from blis.outcomes.outcomes import Outcomes
    from blis.outcomes.timeline.recording import Timeline
    from blis.report.sections import Report
    from blis.workload.workload import Workload

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
    """Simulate vLLM instances and print their metrics: tables on a terminal, else JSON."""
    set_verbosity(flags)
    warn_of_idle_flags(ctx, flags)
    check_outputs(flags)
    return simulate(ctx, flags, lambda: workload_from_flags(flags, given_flags(ctx)))


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
    from blis.outcomes.metrics.slo import check_targets
    from blis.outcomes.metrics.summary import WallClock
    from blis.report.sections import Report

    timeline, events = _timeline(flags), _events(flags)
    began, clock = datetime.now(), [time.perf_counter()]
    with redirect_stdout(sys.stderr):  # what policies of the user's own print is no result
        deployment, traffic = from_flags(Deployment, flags), workload()
        seed = flags["seed"] if "seed" in given_flags(ctx) else None
        simulation = api.prepare(
            deployment,
            traffic,
            engine=engine,
            cluster=cluster,
            horizon_us=flags["horizon_us"],
            seed=seed,
            trace=_trace(flags),
        )
        check_targets(flags["slo_targets_us"] or {}, simulation.table.slo_class)
        saturation = None
        if wants_table(flags["output"]) or flags["report"] is not None:
            from blis.studies.capacity.saturation import saturation_rate

            saturation = saturation_rate(deployment, traffic, engine, cluster, seed)
        clock.append(time.perf_counter())
        with progress_bar(flags) as progress:
            outcomes = simulation.run(progress, timeline=timeline, events=events)
    clock.append(time.perf_counter())
    wall_clock = WallClock(_stamp(began), _stamp(datetime.now()), clock[2] - clock[0]) if flags["timestamps"] else None
    asked_for = {name: flags[name] for name in ("fitness_weights", "slo_targets_us", "summarize_trace")}
    asked_for |= {"wall_clock": wall_clock, "saturation_per_s": saturation}
    try:
        if flags["trace_output"] is not None:
            created_at = began.isoformat(timespec="seconds") if flags["timestamps"] else None
            simulation.write_trace(outcomes, flags["trace_output"], created_at=created_at)
    finally:  # as below
        command = ctx.find_object(tuple) or ()
        _write(Report(outcomes, **asked_for), timeline, events, flags, command)
    _warn_of_overload(outcomes)
    clock.append(time.perf_counter())
    load_s, simulate_s, write_s = (later - earlier for earlier, later in pairwise(clock))
    log.info("took: load %.2f s, simulate %.2f s, write %.2f s", load_s, simulate_s, write_s)
    interrupted = outcomes.result.interrupted or (outcomes.trace is not None and outcomes.trace.interrupted)
    return _INTERRUPTED if interrupted else 0


def _timeline(flags: Mapping[str, Any]) -> Timeline | None:
    if flags["timeline"] is None:
        if flags["timeline_window"] is not None:
            log.warning("--timeline-window has no effect without --timeline")
        return None
    from blis.outcomes.timeline.recording import Timeline

    return Timeline() if flags["timeline_window"] is None else Timeline(flags["timeline_window"])


def _events(flags: Mapping[str, Any]) -> EventLog | None:
    path: Path | None = flags["log_file"]
    if flags["log"] not in EVENT_LEVELS:
        if path is not None:
            log.warning("--log-file has no effect without --log debug or trace")
        return None
    if path is None and not wants_events(flags):
        return None
    from blis.outcomes.event_log.recording import EventLog

    folder = None
    if path is not None and (path.is_file() or not path.exists()):  # beside a device is no place for files
        folder = path.resolve().parent
    return EventLog(steps=flags["log"] == "trace", scratch_folder=folder)


def _tell_events(events: EventLog, outcomes: Outcomes) -> None:
    with naming(Path("stderr")):
        sys.stderr.writelines(f"{printable(line)}\n" for line in events.lines(outcomes))


def _write_timeline(timeline: Timeline, outcomes: Outcomes, path: Path) -> None:
    for note in timeline.write(outcomes, path):
        log.warning("%s: %s; --timeline-window chooses another part", path, note)


def _trace(flags: Mapping[str, Any]) -> TraceOptions | None:
    if flags["trace_level"] == "none":
        return None
    return TraceOptions(flags["counterfactual_k"], flags["regret_samples"], flags["trace_path"])


def check_outputs(flags: Mapping[str, Any]) -> None:
    """Refuse outputs that could not be written, or would overwrite each other or an input."""
    check_files(_outputs(flags), given_inputs(flags), parquet=("--outcomes-path", "--trace-path"))
    if flags["report"] is not None:
        from blis.report.charting import check_charts

        check_charts(flags["report"])


def _outputs(flags: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Flag and path of every file that is going to be written."""
    for name in ("results_path", "outcomes_path", "trace_path", "timeline", "report", "log_file"):
        if flags[name] is not None:
            yield f"--{name.replace('_', '-')}", flags[name]
    if flags["trace_output"] is not None:
        from blis.workload.traces.tracev2.tracev2 import trace_paths, unsent_path

        trace, content = trace_paths(flags["trace_output"])
        paths = (trace.header, trace.data, content, unsent_path(flags["trace_output"]))
        yield from (("--trace-output", path) for path in paths)


def _write(
    report: Report, timeline: Timeline | None, events: EventLog | None, flags: Mapping[str, Any], command: Sequence[str]
) -> None:
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
        "report": lambda path: _write_page(report, path, command),
    }
    if timeline is not None:
        writers["timeline"] = lambda path: _write_timeline(timeline, outcomes, path)
    if events is not None:
        writers["log_file"] = lambda path: events.write(outcomes, path)
    try:
        if events is not None and flags["log_file"] is None:
            _tell_events(events, outcomes)
        for name, write in writers.items():
            try:
                if flags[name] is not None:
                    write(flags[name])
            except OSError as error:
                failures.append(error)
    finally:  # Ctrl-C must not cost the figures either
        print_result(flags["output"], report.printed, report.tables)
    for failure in failures[:-1]:
        log.error("%s: %s", failure.filename, failure.strerror)
    if failures:
        raise failures[-1]


def _write_page(report: Report, path: Path, command: Sequence[str]) -> None:
    from blis.report.run_page import write_run_page

    write_run_page(report, path, command)


def _warn_of_overload(outcomes: Outcomes) -> None:
    from blis.report.run_table import when_overloaded

    found = outcomes.steady_state
    if found.backlog.stable is False:
        log.warning(
            "overloaded%s: the backlog grows by %.3g requests/s; percentiles are those of this run's %s, "
            "not of a steady state",
            f" {when_overloaded(found)}" if found.has_changing_load else "",
            found.backlog.growth_per_s,
            "ups and downs" if found.has_changing_load else "length",
        )


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
