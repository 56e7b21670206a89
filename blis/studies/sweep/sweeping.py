"""`sweep`: from a sweep file to its table."""

from __future__ import annotations

import heapq
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blis import __version__
from blis.errors import ConfigError, EngineError
from blis.files.output import check_output
from blis.studies.sweep.checking import check_points, describe_point
from blis.studies.sweep.executors import executor_of
from blis.studies.sweep.file import Sweep, load_sweep
from blis.studies.sweep.journal import Journal
from blis.studies.sweep.table import write_table
from blis.studies.sweep.threads import default_jobs
from blis.studies.sweep.work import Row, Worker, tasks

if TYPE_CHECKING:
    import polars as pl

#: Gets runs that are done, earlier ones included, and all runs.
Progress = Callable[[int, int], None]

_log = logging.getLogger("blis")


@dataclass(frozen=True)
class Prepared:
    """A sweep of which everything is decided.

    Attributes:
        sweep: its points.
        identity: version, sweep file and digests of inputs, as plain JSON.
        worker: with what was read and decided.
        refused: why points cannot run, by their number.
    """

    sweep: Sweep
    identity: Mapping[str, Any]
    worker: Worker
    refused: Mapping[int, str]

    @property
    def runs(self) -> Sequence[int]:
        """Numbers of the runs of points that can run."""
        each = self.sweep.replications
        return [run for run in range(len(self.sweep)) if run // each not in self.refused]

    def refused_rows(self) -> Iterator[Row]:
        """Rows of points that cannot run, by number of their run."""
        for point, reason in sorted(self.refused.items()):
            first = point * self.sweep.replications
            for run in range(first, first + self.sweep.replications):
                yield Row(run, None, "refused", reason, {})


def prepare_sweep(spec: str | Path | Mapping[str, Any]) -> Prepared:
    """Read a sweep file and check every point; the arguments and errors are those of `sweep`."""
    sweep = load_sweep(spec)
    worker = Worker(sweep.folder)
    checked = check_points(sweep, worker)
    identity = {"blis_version": __version__, "sweep": sweep.plain, "inputs": checked.inputs}
    return Prepared(sweep, identity, worker, checked.refused)


def sweep(
    spec: str | Path | Mapping[str, Any],
    *,
    output: str | Path | None = None,
    executor: str | None = None,
    jobs: int | None = None,
    max_failures: int = 0,
    restart: bool = False,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Simulate every point of a sweep.

    Args:
        spec: path of a sweep file (docs/sweep.md), or its content as nested mappings, in which workloads and laws of
            step time may stand themselves; files that these name are then looked for in the working directory.
        output: Parquet file that gets the table. Rows are kept beside it, in ``OUTPUT.partial``, until all are
            there: the same sweep, begun again, goes on from them. None: nothing is kept.
        executor: ``processes``, ``threads``, ``dask``, ``dask://host:port``, ``ray`` or ``ray://host:port``; None:
            processes, or threads where this process cannot be copied (docs/sweep.md).
        jobs: processes or threads on this machine; None: one per CPU.
        max_failures: a run that fails is a row with its error; more of them end the sweep. Points that cannot run
            (a model that does not fit its GPUs) are rows with the reason, and no failures.
        restart: forget rows of a sweep that was not finished.
        progress: called after each run with runs done and runs in all.

    Returns:
        A row per run, in the order of the points: ``point``, ``replication``, the parameters, ``seed``, ``status``,
        ``error``, ``steady_state`` and the figures of the summary.

    Raises:
        InputError: the sweep file, or something it asks for, is wrong, or no point can run; nothing was run. Or
            there are rows of another sweep.
        EngineError: more runs failed than may fail.
        KeyboardInterrupt: Ctrl-C was pressed. What had finished until then is kept beside the output.
    """
    with ExitStack() as stack:
        if output is None:
            output = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sweep.parquet"
        run_sweep(
            prepare_sweep(spec),
            Path(output),
            executor=executor,
            jobs=jobs,
            max_failures=max_failures,
            restart=restart,
            progress=progress,
        )
        import polars as pl  # its threads would keep this process from being copied

        return pl.read_parquet(output, memory_map=False)


def run_sweep(
    prepared: Prepared,
    output: Path,
    *,
    executor: str | None = None,
    jobs: int | None = None,
    max_failures: int = 0,
    restart: bool = False,
    progress: Progress | None = None,
) -> int:
    """Do what is left of a sweep and write its table; the arguments and errors are those of `sweep`.

    Returns:
        How many runs failed.
    """
    chosen = executor_of(executor)
    jobs = default_jobs() if jobs is None else jobs
    if jobs < 1:
        raise ConfigError(f"jobs: must be at least 1, got {jobs}")
    if max_failures < 0:
        raise ConfigError(f"max_failures: must be >= 0, got {max_failures}")
    check_output(output, parquet=True)
    runs = prepared.runs
    total = len(runs)
    _tell_refused(prepared)
    with Journal(output, prepared.identity, restart=restart) as journal:
        if len(journal):
            _log.warning("%d of %d runs were done before and are not done again", len(journal), total)
        todo = [run for run in runs if run not in journal]
        _check_failures(journal, max_failures)
        if todo:
            rows = chosen.rows(prepared.sweep, todo, prepared.worker, jobs)
            try:
                for row in rows:
                    journal.add(row)
                    _check_failures(journal, max_failures)
                    if progress is not None:
                        progress(len(journal), total)
            finally:
                rows.close()
        write_table(output, prepared.sweep, lambda: _all_rows(prepared, journal), prepared.identity)
        _tell_unmeasured(journal)
        journal.remove()
        return len(journal.failures)


def _all_rows(prepared: Prepared, journal: Journal) -> Iterator[Row]:
    return heapq.merge(journal.rows(), prepared.refused_rows(), key=lambda row: row.run)


def _tell_refused(prepared: Prepared) -> None:
    if prepared.refused:
        index, reason = next(iter(prepared.refused.items()))
        shown = describe_point(index, prepared.sweep.points[index])
        counts = len(prepared.refused), len(prepared.sweep.points)
        _log.warning("%d of %d points cannot run, column error says why; the first one: %s: %s", *counts, shown, reason)


def _tell_unmeasured(journal: Journal) -> None:
    unmeasured = sum(row.error is None and row.metrics["completed_requests"] == 0 for row in journal.rows())
    if unmeasured:
        _log.warning("%d of %d runs completed no request: nothing was measured in them", unmeasured, len(journal))


def _check_failures(journal: Journal, most: int) -> None:
    failures = journal.failures
    if len(failures) > most:
        raise EngineError(f"{len(failures)} runs failed, max_failures is {most}; the first one: {failures[0]}")


def seconds_per_run(prepared: Prepared) -> float:
    """How long a run takes on one thread, from the first and the last one; the engine is loaded before.

    Raises:
        EngineError: a run failed.
    """
    sweep, do = prepared.sweep, prepared.worker.row
    first_and_last = sorted({prepared.runs[0], prepared.runs[-1]})

    def check(row: Row) -> None:
        if row.error is not None:
            raise EngineError(f"run {row.run}: {row.error}")

    check(do(next(tasks(sweep, first_and_last))))
    began = time.perf_counter()
    for task in tasks(sweep, first_and_last):
        check(do(task))
    return (time.perf_counter() - began) / len(first_and_last)
