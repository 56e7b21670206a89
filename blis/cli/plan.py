"""``blis plan``: the cheapest deployment of a catalogue."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from blis.cli.capacity import progress_of_points
from blis.cli.console import print_result, set_verbosity
from blis.cli.flags import LOG, OUTPUT_FORM, QUIET, REPORT
from blis.cli.pages import check_page, write_page


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--jobs", type=int, help="Processes, or threads.  [default: one per CPU]")
@click.option("--report", **REPORT)
@click.option("--output", **OUTPUT_FORM)
@click.option("--quiet", **QUIET)
@click.option("--log", **LOG)
@click.pass_context
def plan(ctx: click.Context, /, file: Path, **flags: Any) -> None:
    """Find the cheapest deployment in FILE (YAML) that meets its SLOs, and those that no other one beats."""
    set_verbosity(flags)
    check_page(flags, [("FILE", file)])
    from blis.studies.plan.planning import plan as find_plan
    from blis.studies.plan.report import report, text

    with redirect_stdout(sys.stderr), progress_of_points(flags) as progress:  # policies of the user's own may print
        result = find_plan(file, jobs=flags["jobs"], progress=progress)

    def show() -> None:
        print_result(flags["output"], lambda: report(result), lambda: text(result))

    write_page(ctx, flags, result.write_report, show)
