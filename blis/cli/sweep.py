"""``blis sweep``: many runs from one file, into one table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blis.cli.console import log, new_bar, print_text, set_verbosity, tell, wants_bar
from blis.cli.flags import LOG, QUIET, REPORT
from blis.cli.pages import check_page
from blis.errors import EngineError, InputError
from blis.files.output import check_output
from blis.files.printable import printable

if TYPE_CHECKING:
    from blis.studies.sweep.sweeping import Prepared

_PATH = click.Path(path_type=Path, dir_okay=False)
_INTERRUPTED = 130


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", type=_PATH, metavar="FILE", help="Parquet file that gets a row per run.")
@click.option("--jobs", type=int, metavar="N", help="Processes or threads  [default: one per CPU]")
@click.option(
    "--executor",
    metavar="[processes|threads|dask|dask://host:port|ray|ray://host:port]",
    help="Where the runs take place  [default: processes on Linux, else threads]",
)
@click.option("--max-failures", type=int, default=0, show_default=True, help="Runs that may fail; more end the sweep")
@click.option("--restart", is_flag=True, help="Forget the finished runs of a sweep that was not")
@click.option("--report", **REPORT)
@click.option("--dry-run", is_flag=True, help="Print the points and how long they would take")
@click.option("--quiet", **QUIET)
@click.option("--log", **LOG)
@click.pass_context
def sweep(ctx: click.Context, /, file: Path, **flags: Any) -> int:
    """Simulate every point that FILE (YAML) describes, and write a table with one row per run.

    A sweep that was ended before its last run goes on when the same command is given again.
    """
    set_verbosity(flags)
    output: Path | None = flags["output"]
    if output is None and not flags["dry_run"]:
        raise click.UsageError("Missing option '--output'")
    if output is not None:
        check_output(output, parquet=True)
        if output.resolve() == file.resolve():
            raise InputError(f"{output}: given for both FILE and --output")
        check_page(flags, [("FILE", file), ("--output", output)])
    from blis.studies.sweep.sweeping import prepare_sweep

    with redirect_stdout(sys.stderr):  # what policies of the user's own print is no result
        prepared = prepare_sweep(file)
    if output is None or flags["dry_run"]:
        _show(prepared)
        return 0
    code = _run(prepared, output, flags)
    if flags["report"] is not None and code == 0:
        from blis.studies.sweep.page import write_sweep_report

        write_sweep_report(output, flags["report"], ctx.find_object(tuple) or ())
    return code


def _run(prepared: Prepared, output: Path, flags: Mapping[str, Any]) -> int:
    from blis.studies.sweep.journal import journal_folder
    from blis.studies.sweep.sweeping import run_sweep

    names = ("executor", "jobs", "max_failures", "restart")
    kept = f"finished runs are kept in {journal_folder(output)}, the same command goes on from there"
    try:
        with redirect_stdout(sys.stderr), _progress(len(prepared.runs), flags) as progress:
            failures = run_sweep(prepared, output, progress=progress, **{name: flags[name] for name in names})
    except KeyboardInterrupt:
        tell(f"error: interrupted; {kept}")
        return _INTERRUPTED
    except EngineError as error:
        raise EngineError(f"{error}; {kept}") from error
    if failures:
        log.warning("%d of %d runs failed; column error says why", failures, len(prepared.runs))
    return 0


def _show(prepared: Prepared) -> None:
    """Print the points, and say how long they would take."""
    from blis.studies.sweep.sweeping import seconds_per_run

    sweep = prepared.sweep
    print_text(f"{len(sweep)} runs: {len(sweep.points)} points, {sweep.replications} of each")
    for index, point in enumerate(sweep.points):
        cells = (f"{key.name}={key.cell(point.values.get(key.name))}" for key in sweep.keys)
        reason = prepared.refused.get(index)
        print_text(printable(f"{index}: {' '.join(cells)}" + (f"  cannot run: {reason}" if reason else "")))
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
