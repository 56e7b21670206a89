"""``blis calibrate``: how far predictions are off from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from blis.cli.console import print_text, set_verbosity, wants_table
from blis.cli.flags import LOG, OUTPUT_FORM, QUIET
from blis.files.output import check_outputs

_PATH = click.Path(path_type=Path)
_FROM_HEADER = "  [default: as the header says]"


@click.command()
@click.option("--trace-header", type=_PATH, required=True, help="Header of the measured trace (YAML).")
@click.option("--trace-data", type=_PATH, required=True, help="Its data (CSV).")
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

    Measure with blis observe, simulate with blis replay --outcomes-path, then compare.
    """
    set_verbosity(flags)
    check_outputs(
        [(f"--{name}", flags[name]) for name in ("report", "plots") if flags[name] is not None],
        [(f"--{name.replace('_', '-')}", flags[name]) for name in ("trace_header", "trace_data", "sim_outcomes")],
    )
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
        if wants_table(flags["output"]):
            from blis.report.calibration_table import calibration_table

            print_text(calibration_table(found.report))
        else:
            print_text(found.text())
