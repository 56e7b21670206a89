"""``blis fit``: coefficients of step time from measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import new_bar, print_result, set_verbosity, wants_bar
from blis.cli.engine_options import engine_options
from blis.cli.flags import GroupedCommand, from_flags
from blis.cli.options import fit_options, measured_model_options
from blis.config.schema import Deployment, EngineOptions

if TYPE_CHECKING:
    from blis.measurement.fit.fit import Fit, FitOptions
    from blis.workload.traces.tracev2.tracev2 import TraceV2


@click.command(cls=GroupedCommand)
@fit_options
@measured_model_options
@engine_options
def fit(**flags: Any) -> None:
    """Find the coefficients of step time under which the simulator predicts what was measured.

    From measured traces (blis observe, or blis convert of a server's stamps or a benchmark's results), or from a log
    of single steps. Prints them with their intervals, and how far predictions are off with and without them.
    """
    set_verbosity(flags)
    traces = _traces(flags)
    if not traces and flags["step_log"] is None:
        raise click.UsageError("give --trace-header and --trace-data of a measured trace, or --step-log")
    if traces and flags["step_log"] is not None:
        raise click.UsageError("--step-log and traces cannot be combined")
    from blis.measurement.fit.export import check_export, export
    from blis.measurement.fit.fit import FitOptions

    options = from_flags(FitOptions, flags)
    if flags["export"] is not None:
        check_export(flags["export"], options.law)
    result = _fit(traces, options, flags)
    _print(result, flags["output"])
    if flags["export"] is not None:
        export(result, flags["export"])


def _traces(flags: Mapping[str, Any]) -> list[TraceV2]:
    headers, data = flags["trace_header"], flags["trace_data"]
    if len(headers) != len(data):
        raise click.UsageError(f"got {len(headers)} --trace-header and {len(data)} --trace-data; they go in pairs")
    if not headers:
        return []
    from blis.workload.traces.tracev2.tracev2 import TraceV2

    return [TraceV2(*pair) for pair in zip(headers, data, strict=True)]


def _fit(traces: list[TraceV2], options: FitOptions, flags: Mapping[str, Any]) -> Fit:
    from blis.measurement.fit.fit import fit_steps, fit_traces

    engine = from_flags(EngineOptions, flags)
    if not traces:
        return fit_steps(flags["step_log"], _deployment(flags, flags["model"]), engine=engine, options=options)
    deployments = [_deployment(flags, flags["model"] or _model_of(trace.header)) for trace in traces]
    with _progress(flags) as progress:
        return fit_traces(traces, deployments, engine=engine, options=options, progress=progress)


def _deployment(flags: Mapping[str, Any], model: str | None) -> Deployment:
    if model is None:
        raise click.UsageError("Missing option '--model': the trace does not say which model was measured")
    return from_flags(Deployment, {**flags, "model": model})


def _model_of(header: Path) -> str | None:
    from blis.workload.traces.tracev2.header import read_header

    server = read_header(header).server
    return None if server is None else server.model


@contextmanager
def _progress(flags: Mapping[str, Any]) -> Iterator[Callable[[int], None] | None]:
    if not wants_bar(flags):
        yield None
        return
    from blis.measurement.fit.search import ROUNDS

    with new_bar(" rounds", total=ROUNDS) as bar:

        def show(done: int) -> None:
            bar.update(done - bar.n)

        yield show


def _print(result: Fit, output: str | None) -> None:
    from blis.measurement.fit.report import report, text

    print_result(output, lambda: report(result), lambda: text(result))
