"""``blis plan``: the cheapest deployment of a catalogue."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from blis.cli.capacity import print_result, progress_of_points
from blis.cli.console import LOG_LEVELS, log
from blis.cli.values import one_of


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--jobs", type=int, help="Threads  [default: one per CPU]")
@click.option("--output", **one_of("json", "table"), help="Form on stdout  [default: table on a terminal, else json]")
@click.option("--log", **one_of(*LOG_LEVELS), default="warn", show_default=True, help="Verbosity on stderr")
def plan(file: Path, jobs: int | None, output: str | None, log: str) -> None:
    """Find the cheapest deployment in FILE (YAML) that meets its SLOs, and those that no other one beats."""
    _set_level(log)
    from blis.planning.planning import plan as find_plan
    from blis.planning.report import report, text

    with redirect_stdout(sys.stderr), progress_of_points() as progress:  # policies of the user's own may print
        result = find_plan(file, jobs=jobs, progress=progress)
    print_result(output, lambda: report(result), lambda: text(result))


def _set_level(name: str) -> None:
    log.setLevel(LOG_LEVELS[name])
