"""``blis report``: a page of figures and charts from the outcomes of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from blis.cli.console import log, set_verbosity
from blis.cli.flags import LOG, QUIET
from blis.cli.values import slo_targets_us
from blis.files.output import check_outputs

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("outcomes", type=_PATH)
@click.option("-o", "--report", type=_PATH, required=True, metavar="FILE", help="HTML file to write.")
@click.option(
    "--slo-targets",
    "slo_targets_us",
    type=slo_targets_us,
    metavar="CLASS:MS,…",
    help="Longest E2E per SLO class, ms, such as interactive:2000,batch:60000.",
)
@click.option("--quiet", **QUIET)
@click.option("--log", **LOG)
def report(outcomes: Path, **flags: Any) -> None:
    """Make a page of figures and charts of OUTCOMES, which blis run --outcomes-path or blis sweep wrote.

    Nothing is simulated. The page is one HTML file with everything inside.
    """
    set_verbosity(flags)
    check_outputs([("-o", flags["report"])], [("OUTCOMES", outcomes)])
    from blis.report.charting import check_charts

    check_charts(flags["report"])
    from blis.studies.sweep.mark import is_swept

    if is_swept(outcomes):
        if flags["slo_targets_us"]:
            log.warning("--slo-targets has no effect on the table of a sweep")
        from blis.studies.sweep.page import write_sweep_report

        write_sweep_report(outcomes, flags["report"])
        return
    from blis.outcomes.outcomes import Outcomes

    found = Outcomes.read_parquet(outcomes)
    found.write_report(flags["report"], slo_targets_us=flags["slo_targets_us"])
