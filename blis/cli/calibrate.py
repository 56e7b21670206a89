"""``blis calibrate``: how far predictions are off from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from blis.cli.console import print_result, set_verbosity
from blis.cli.flags import LOG, OUTPUT_FORM, QUIET
from blis.files.document import json_document
from blis.files.output import check_outputs, replacing
from blis.files.printable import printable

_PATH = click.Path(path_type=Path)
_TRACE, _SERVER = ("trace_header", "trace_data"), ("server_metrics", "since")
#: What is said of requests one by one, which a server's histograms know nothing of.
_OF_TRACES = (*_TRACE, "plots", "warm_up_requests", "network_rtt_us", "network_bandwidth_mbps")
_FROM_HEADER = "  [default: as the header says]"


@click.command()
@click.option("--trace-header", type=_PATH, help="Header of the measured trace (YAML).")
@click.option("--trace-data", type=_PATH, help="Its data (CSV).")
@click.option("--server-metrics", type=_PATH, help="In place of a trace, a dump of the vLLM server's /metrics.")
@click.option("--since", type=_PATH, help="An earlier dump: compare what the server did since.")
@click.option(
    "--sim-outcomes",
    "--outcomes-path",
    "sim_outcomes",
    type=_PATH,
    required=True,
    help="What blis replay --outcomes-path wrote for the trace (Parquet).",
)
@click.option("--report", type=_PATH, help="Write the report: a page with charts (.html), else JSON.")
@click.option("--plots", type=_PATH, help="Draw both sides, as .html, .svg or .png.")
@click.option(
    "--warmup-requests",
    "warm_up_requests",
    type=int,
    help="Do not compare requests numbered below this." + _FROM_HEADER,
)
@click.option(
    "--network-rtt-us",
    type=float,
    help="Round-trip time to add to the simulated side, µs." + _FROM_HEADER,
)
@click.option(
    "--network-bandwidth-mbps",
    type=float,
    default=0.0,
    show_default=True,
    help="Megabits per second, for transfers to add likewise; 0: unlimited.",
)
@click.option("--output", **OUTPUT_FORM)
@click.option("--quiet", **QUIET)
@click.option("--log", **LOG)
@click.pass_context
def calibrate(ctx: click.Context, /, **flags: Any) -> None:
    """Compare a measured TraceV2 with what was simulated for the same requests, and print how far they are apart.

    Measure with blis observe, simulate with blis replay --outcomes-path, then compare. With --server-metrics the
    server's own histograms are compared, not requests one by one.
    """
    set_verbosity(flags)
    inputs = [name for name in (*_TRACE, *_SERVER, "sim_outcomes") if flags[name] is not None]
    check_outputs(
        [(f"--{name}", flags[name]) for name in ("report", "plots") if flags[name] is not None],
        [(f"--{name.replace('_', '-')}", flags[name]) for name in inputs],
    )
    _check_sides(ctx, flags)
    if flags["server_metrics"] is not None:
        _compare_with_server(flags)
        return
    if flags["plots"] is not None:
        from blis.measurement.calibrate.plots import check_plots

        check_plots(flags["plots"])
    is_page = flags["report"] is not None and flags["report"].suffix.lower() == ".html"
    if is_page:
        from blis.report.charting import check_charts

        check_charts(flags["report"])
    from blis.measurement.calibrate.calibrating import calibrate as compare
    from blis.workload.traces.tracev2.tracev2 import TraceV2

    names = ("warm_up_requests", "network_rtt_us", "network_bandwidth_mbps")
    found = compare(
        TraceV2(flags["trace_header"], flags["trace_data"]),
        flags["sim_outcomes"],
        **{name: flags[name] for name in names},
    )
    try:
        if is_page:
            found.write_report(flags["report"], ctx.find_object(tuple) or ())
        elif flags["report"] is not None:
            found.write_json(flags["report"])
        if flags["plots"] is not None:
            found.write_plots(flags["plots"])
    finally:  # a file that cannot be written must not cost the figures
        from blis.report.calibration_table import calibration_table

        print_result(flags["output"], lambda: found.report, lambda: calibration_table(found.report))


def _check_sides(ctx: click.Context, flags: Mapping[str, Any]) -> None:
    """Make sure that there is a trace or a dump, and nothing that belongs to the other one."""
    options = {param.name: param for param in ctx.command.params}
    if flags["server_metrics"] is None:
        for name in _TRACE:
            if flags[name] is None:
                raise click.MissingParameter(ctx=ctx, param=options[name])
        if flags["since"] is not None:
            raise click.BadParameter("goes with --server-metrics", param_hint="--since")
        return
    for name in _OF_TRACES:
        if flags[name] not in (None, 0.0):
            raise click.BadParameter("goes with a trace, not with --server-metrics", param_hint=options[name].opts[0])
    if flags["report"] is not None and flags["report"].suffix.lower() == ".html":
        raise click.BadParameter("a comparison with --server-metrics is written as JSON only", param_hint="--report")


def _compare_with_server(flags: Mapping[str, Any]) -> None:
    from blis.measurement.server_metrics.comparing import compare_with_server, comparison_as_text
    from blis.measurement.server_metrics.dump import difference, read_dump

    dump = read_dump(flags["server_metrics"])
    if flags["since"] is not None:
        dump = difference(dump, read_dump(flags["since"]))
    found = compare_with_server(dump, flags["sim_outcomes"])
    if flags["report"] is not None:
        with replacing(flags["report"]) as temporary:
            temporary.write_text(json_document(found, ascii_only=True) + "\n", encoding="utf-8")
    print_result(flags["output"], lambda: found, lambda: printable(comparison_as_text(found)))
