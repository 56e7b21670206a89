"""``blis compare``: two runs side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import print_result, print_text, set_verbosity, tell
from blis.cli.flags import LOG, QUIET, REPORT
from blis.cli.pages import check_page, write_page
from blis.cli.reading import FILE
from blis.cli.values import one_of
from blis.files.printable import printable

if TYPE_CHECKING:
    from blis.studies.compare.comparison import Comparison
    from blis.studies.compare.conditions import Failure

_FAILED = 1


@click.command()
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.argument("more_conditions", metavar="", nargs=-1)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 1 if a change from A to B is such, as 'p99_ttft>+5%' or 'tokens_per_sec<-3%'; several may follow.",
)
@click.option(
    "--output",
    **one_of("table", "json", "markdown"),
    help="Form on stdout.  [default: table on a terminal, else json]",
)
@click.option("--report", **REPORT)
@click.option("--quiet", **QUIET)
@click.option("--log", **LOG)
@click.pass_context
def compare(
    ctx: click.Context, /, a: Path, b: Path, more_conditions: tuple[str, ...], fail_on: tuple[str, ...], **flags: Any
) -> int:
    """Compare the run A with the run B: every figure, its change, and whether that is more than chance.

    A and B are files of --outcomes-path (Parquet) or --results-path (JSON).
    """
    set_verbosity(flags)
    check_page(flags, [("A", a), ("B", b)])
    from blis.studies.compare.comparison import compare as compare_runs
    from blis.studies.compare.conditions import failures, parse_condition

    if more_conditions and not fail_on:
        raise click.UsageError(f"expected two runs, got {2 + len(more_conditions)} arguments: {more_conditions[0]!r}")
    conditions = [parse_condition(text) for text in (*fail_on, *more_conditions)]
    comparison = compare_runs(a, b)
    failed = failures(comparison, conditions)
    write_page(
        ctx, flags, partial(comparison.write_report, failed=failed), lambda: _print(comparison, failed, flags["output"])
    )
    for failure in failed:
        tell(f"failed: {failure.reason}")
    return _FAILED if failed else 0


def _print(comparison: Comparison, failed: list[Failure], output: str | None) -> None:
    from blis.studies.compare.report import markdown, report, text

    if output == "markdown":
        print_text(printable(markdown(comparison, failed)))
    else:
        print_result(output, lambda: report(comparison, failed), lambda: text(comparison))
