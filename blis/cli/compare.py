"""``blis compare``: runs side by side."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import print_result, print_text, set_verbosity, tell
from blis.cli.flags import LOG, QUIET, REPORT
from blis.cli.pages import check_page, write_page
from blis.cli.reading import FILE
from blis.cli.values import one_of, slo_targets_us
from blis.files.printable import printable

if TYPE_CHECKING:
    from blis.studies.compare.comparison import Comparison, Comparisons
    from blis.studies.compare.conditions import Failure

_FAILED = 1


@click.command()
@click.argument("runs", nargs=-1, metavar="A B [MORE]...", shell_complete=FILE.shell_complete)
@click.option("--baseline", type=FILE, metavar="FILE", help="The run that all are compared with.  [default: A]")
@click.option(
    "--fail-on",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 1 if a change from the baseline is such, as 'p99_ttft>+5%' or 'goodput<-2%'; several may follow.",
)
@click.option(
    "--slo-targets",
    "slo_targets_us",
    type=slo_targets_us,
    metavar="CLASS:MS,…",
    help="Longest E2E per SLO class, ms, for goodput and attainment.  [default: those of results files]",
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
def compare(ctx: click.Context, /, runs: tuple[str, ...], fail_on: tuple[str, ...], **flags: Any) -> int:
    """Compare runs with the first one, A: every figure, its change, and whether that is more than chance.

    Runs are files of --outcomes-path (Parquet) or --results-path (JSON).
    """
    set_verbosity(flags)
    paths, more_conditions = _told_apart(runs, may_be_conditions=bool(fail_on))
    paths = _from_baseline(paths, flags["baseline"])
    check_page(flags, [(f"run {number}", path) for number, path in enumerate(paths, start=1)])
    from blis.studies.compare.comparison import compare as compare_runs
    from blis.studies.compare.conditions import failures, parse_condition

    conditions = [parse_condition(text) for text in (*fail_on, *more_conditions)]
    comparison = compare_runs(*paths, slo_targets_us=flags["slo_targets_us"])
    failed = failures(comparison, conditions)
    write_page(
        ctx, flags, partial(comparison.write_report, failed=failed), lambda: _print(comparison, failed, flags["output"])
    )
    for failure in failed:
        tell(f"failed: {failure.reason}")
    return _FAILED if failed else 0


def _told_apart(arguments: tuple[str, ...], *, may_be_conditions: bool) -> tuple[list[Path], list[str]]:
    """Files, and conditions, which have a < or > and may follow ``--fail-on``."""
    conditions = [each for each in arguments if re.search("[<>]", each) and not Path(each).exists()]
    if conditions and not may_be_conditions:
        raise click.UsageError(f"{conditions[0]!r} is no file; conditions follow --fail-on")
    return [Path(each) for each in arguments if each not in conditions], conditions


def _from_baseline(paths: list[Path], baseline: Path | None) -> list[Path]:
    """The same with the baseline first."""
    if baseline is not None:
        paths = [baseline, *(path for path in paths if path != baseline)]
    if len(paths) < 2:
        raise click.UsageError(f"at least two runs are needed, got {len(paths)}")
    return paths


def _print(comparison: Comparison | Comparisons, failed: list[Failure], output: str | None) -> None:
    from blis.studies.compare.report import markdown, report, text

    if output == "markdown":
        print_text(printable(markdown(comparison, failed)))
    else:
        print_result(output, lambda: report(comparison, failed), lambda: text(comparison))
