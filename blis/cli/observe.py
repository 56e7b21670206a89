"""``blis observe``: a workload sent to a live server, recorded as a TraceV2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import log, new_bar, print_result, set_verbosity, wants_bar
from blis.cli.flags import GroupedCommand, from_flags
from blis.cli.options import (
    measurement_options,
    recorded_options,
    server_options,
    workload_options,
)
from blis.cli.signals import EXIT_OF_SIGNAL
from blis.cli.workloads import given_flags, warn_of_idle_flags, workload_from_flags
from blis.files.output import check_outputs
from blis.measurement.observe.options import ObserveOptions

if TYPE_CHECKING:
    from blis.measurement.observe.dispatch import Progress
    from blis.workload.workload import Workload

_INPUTS = ("workload_traces_filepath", "workload_spec", "trace_header", "trace_data", "defaults_filepath")
_FAILED = 1


@click.command(cls=GroupedCommand)
@server_options
@workload_options
@recorded_options
@measurement_options
@click.pass_context
def observe(ctx: click.Context, /, **flags: Any) -> int:
    """Send a workload to a live OpenAI-compatible server, record a TraceV2 and print figures: tables or JSON."""
    set_verbosity(flags)
    options = from_flags(ObserveOptions, flags)
    warn_of_idle_flags(ctx, flags)
    inputs = [(f"--{name.replace('_', '-')}", flags[name]) for name in _INPUTS if flags[name] is not None]
    check_outputs(_outputs(flags), inputs, parquet=["--chunk-times"])
    from blis.api import check_horizon, load_requests, seed_of
    from blis.measurement.observe.observing import observe as measure
    from blis.workload.window import in_time

    given = given_flags(ctx)
    check_horizon(flags["horizon_us"])
    workload = _workload(flags, given)
    seed = seed_of(workload, flags["seed"] if "seed" in given else None)
    table, horizon_us = load_requests(workload, seed, flags["horizon_us"])
    table = in_time(table, horizon_us)
    described = next((flags[name] for name in _INPUTS[:3] if flags[name] is not None), None)
    with _progress_bar(flags) as progress:
        observation = measure(
            table,
            options,
            flags["trace_output"],
            seed=seed,
            horizon_us=horizon_us,
            tokenizer=flags["tokenizer"],
            chunk_times=flags["chunk_times"],
            workload_spec=None if described is None else str(described),
            progress=progress,
        )
    from blis.measurement.observe.report import text

    summary = observation.summary
    print_result(flags["output"], lambda: summary, lambda: text(summary))
    if observation.file_error is not None:
        raise observation.file_error
    if observation.stopped_by is not None:
        return EXIT_OF_SIGNAL + observation.stopped_by
    if not summary["ok"]:
        log.error("no request was answered: %s", next(iter(summary["errors"]), "none was sent"))
        return _FAILED
    return 0


def _workload(flags: Mapping[str, Any], given: set[str]) -> Workload:
    header, data = flags["trace_header"], flags["trace_data"]
    if (header is None) != (data is None):
        raise click.UsageError("--trace-header and --trace-data go together")
    if header is None:
        return workload_from_flags(flags, given)
    from blis.workload.traces.tracev2.tracev2 import TraceV2

    return TraceV2(header, data)


def _outputs(flags: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Flag and path of every file that is going to be written."""
    from blis.measurement.observe.recorder import partial_paths
    from blis.workload.traces.tracev2.tracev2 import trace_paths

    trace, content = trace_paths(flags["trace_output"])
    partial = partial_paths(flags["trace_output"])
    for path in (trace.header, trace.data, content, partial.header, partial.data):
        yield "--trace-output", path
    if flags["chunk_times"] is not None:
        yield "--chunk-times", flags["chunk_times"]


@contextmanager
def _progress_bar(flags: Mapping[str, Any]) -> Iterator[Callable[[Progress], None] | None]:
    """Yield what is told how far the measurement is; None: there is nobody to show it to."""
    if not wants_bar(flags):
        yield None
        return
    with new_bar(" requests") as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            ttft = progress.ttft_p50_ms
            told = "" if ttft is None else f", TTFT p50 {ttft:.0f} ms"
            bar.set_postfix_str(f"{progress.sent} sent, {progress.failed} failed{told}", refresh=False)
            bar.update(progress.finished - bar.n)

        yield show
