"""``blis sweep``: many runs from one file, into one table."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.completion import names_completed
from blis.cli.console import log, new_bar, print_result, set_verbosity, tell, wants_bar
from blis.cli.flags import FORMS, LOG, QUIET, REPORT
from blis.cli.pages import check_page, write_page
from blis.errors import EngineError, nearest
from blis.files.output import check_outputs

if TYPE_CHECKING:
    from blis.studies.sweep.sweeping import Prepared

_PATH = click.Path(path_type=Path, dir_okay=False)
_INTERRUPTED = 130


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--outcomes-path", type=_PATH, metavar="FILE", help="Write one row per run as Parquet.")
@click.option(
    "--output",
    metavar=f"[{'|'.join(FORMS)}]",
    shell_complete=names_completed(lambda: FORMS),
    help="Form on stdout; any other word is the FILE of --outcomes-path.  [default: table on a terminal, else json]",
)
@click.option("--jobs", type=int, metavar="N", help="Processes or threads  [default: one per CPU]")
@click.option(
    "--executor",
    metavar="[processes|threads|dask|dask://host:port|ray|ray://host:port]",
    help="Where the runs take place  [default: processes on Linux, else threads]",
)
@click.option("--max-failures", type=int, default=0, show_default=True, help="Runs that may fail; more end the sweep")
@click.option("--restart", is_flag=True, help="Forget the finished runs of a sweep that was not")
@click.option("--report", **REPORT)
@click.option("--dry-run", is_flag=True, help="Print the points, and how long they would take")
@click.option("--quiet", **QUIET)
@click.option("--log", **LOG)
@click.pass_context
def sweep(ctx: click.Context, /, file: Path, **flags: Any) -> int:
    """Simulate every point that FILE (YAML) describes, and write a table with one row per run.

    A sweep that was ended before its last run goes on when the same command is given again.
    """
    set_verbosity(flags)
    flag, output, form = _file_and_form(flags)
    if output is None and not flags["dry_run"]:
        raise click.UsageError("Missing option '--output' or '--outcomes-path', a Parquet file for the runs")
    if output is not None:
        check_outputs([(flag, output)], [("FILE", file)], parquet=[flag])
        check_page(flags, [("FILE", file), (flag, output)])
    from blis.studies.sweep import report
    from blis.studies.sweep.sweeping import prepare_sweep

    with redirect_stdout(sys.stderr):  # what policies of the user's own print is no result
        prepared = prepare_sweep(file)
    if output is None or flags["dry_run"]:
        print_result(form, lambda: report.points(prepared), lambda: report.points_text(prepared))
        _tell_time(prepared)
        return 0
    num_failed = _run(prepared, output, flags)
    if num_failed is None:
        return _INTERRUPTED
    told = prepared, output, num_failed

    def show() -> None:
        print_result(form, lambda: report.report(*told), lambda: report.text(*told))

    write_page(ctx, flags, functools.partial(_write_report, output), show)
    return 0


def _file_and_form(flags: Mapping[str, Any]) -> tuple[str, Path | None, str | None]:
    """The flag that names the table, the table, and the form on stdout; ``--output`` is either of the two."""
    output, path = flags["output"], flags["outcomes_path"]
    if output is None or output.lower() in FORMS:
        return "--outcomes-path", path, output and output.lower()
    if path is not None:
        raise click.UsageError(f"--outcomes-path and --output {output} both name a file; {nearest(output, FORMS)}")
    return "--output", Path(output), None


def _run(prepared: Prepared, output: Path, flags: Mapping[str, Any]) -> int | None:
    """How many runs failed; None: Ctrl-C was pressed."""
    from blis.studies.sweep.journal import journal_folder
    from blis.studies.sweep.sweeping import run_sweep

    names = ("executor", "jobs", "max_failures", "restart")
    kept = f"finished runs are kept in {journal_folder(output)}, the same command goes on from there"
    try:
        with redirect_stdout(sys.stderr), _progress(len(prepared.runs), flags) as progress:
            failures = run_sweep(prepared, output, progress=progress, **{name: flags[name] for name in names})
    except KeyboardInterrupt:
        tell(f"error: interrupted; {kept}")
        return None
    except EngineError as error:
        raise EngineError(f"{error}; {kept}") from error
    if failures:
        log.warning("%d of %d runs failed; column error says why", failures, len(prepared.runs))
    return failures


def _write_report(table: Path, path: Path, command: Sequence[str]) -> None:
    from blis.studies.sweep.page import write_sweep_report

    write_sweep_report(table, path, command)


def _tell_time(prepared: Prepared) -> None:
    """Say how long the runs would take."""
    from blis.studies.sweep.sweeping import seconds_per_run

    with redirect_stdout(sys.stderr):
        each_s = seconds_per_run(prepared)
    total_s = each_s * len(prepared.runs)
    text = f"about {total_s:.3g} s on one thread, from the first and the last run ({each_s:.2g} s per run)"
    click.echo(text, err=True)


@contextmanager
def _progress(total: int, flags: Mapping[str, Any]) -> Iterator[Callable[[int, int], None] | None]:
    if not wants_bar(flags):
        yield None
        return
    with new_bar(" runs", total=total) as bar:

        def show(done: int, _: int) -> None:
            if bar.n == 0 and done > 1:  # runs that were done before say nothing about the time left
                bar.initial = bar.n = done - 1
            bar.update(done - bar.n)

        yield show
