"""``blis bench``: golden runs."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import print_result, print_text, set_verbosity, tell
from blis.cli.flags import LOG, QUIET
from blis.cli.values import one_of, percentage
from blis.files.existing import exists
from blis.files.output import check_outputs
from blis.files.printable import printable

if TYPE_CHECKING:
    from blis.studies.bench.report import BenchResult

_PATH = click.Path(path_type=Path, dir_okay=False)
_FAILED = 1


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--golden", type=_PATH, metavar="FILE", help="The golden runs  [default: FILE with .golden.json]")
@click.option("--update", is_flag=True, help="Keep what the runs give now as the golden runs")
@click.option(
    "--tolerance",
    type=percentage,
    metavar="PERCENT%",
    help="Let figures differ by so much, as 1%  [default: nothing may differ, not for one request]",
)
@click.option(
    "--output",
    **one_of("table", "json", "markdown"),
    help="Form on stdout.  [default: table on a terminal, else json]",
)
@click.option("--quiet", **QUIET)
@click.option("--log", **LOG)
def bench(file: Path, **flags: Any) -> int:
    """Simulate the runs that FILE (YAML) names, and tell what is not as in their golden runs.

    The exit code is 1 if a figure has changed, or what a single request met.
    """
    set_verbosity(flags)
    golden: Path = flags["golden"] or file.with_suffix(".golden.json")
    from blis.studies.bench.benching import differences, run_bench
    from blis.studies.bench.file import load_bench
    from blis.studies.bench.golden import check_golden, read_golden, write_golden
    from blis.studies.bench.report import BenchResult

    if flags["update"]:
        check_outputs([("--golden", golden)], [("FILE", file)])
    with redirect_stdout(sys.stderr):  # what policies of the user's own print is no result
        read = load_bench(file)
        if not flags["update"]:
            check_golden(golden, file)
        before = read_golden(golden) if exists(golden) else None
        now = run_bench(read)
    before = before or now
    result = BenchResult((before.blis_version, now.blis_version), flags["tolerance"], differences(before, now))
    _print(result, flags["output"])
    if flags["update"]:
        write_golden(golden, now)
        return 0
    for failure in result.failures:
        tell(f"failed: {failure}")
    return _FAILED if result.failures else 0


def _print(result: BenchResult, output: str | None) -> None:
    from blis.studies.bench.report import markdown, report, text

    if output == "markdown":
        print_text(printable(markdown(result)))
    else:
        print_result(output, lambda: report(result), lambda: text(result))
