"""What golden runs have to say: JSON values, tables for a terminal, tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from blis.studies.bench.benching import FigureChange, RunDifference
from blis.studies.compare.report import row_of, shown_number

_RUNS = ("run", "status", "figures changed")
_CHANGES = ("run", "figure", "golden", "now", "%")


@dataclass(frozen=True)
class BenchResult:
    """All runs against their golden ones.

    Attributes:
        versions: of blis, of the golden runs and now.
        tolerance: percent by which figures may differ; None: nothing may.
        runs: all of them.
    """

    versions: tuple[str, str]
    tolerance: float | None
    runs: Sequence[RunDifference]

    @property
    def failures(self) -> list[str]:
        """Why runs fail, one line each."""
        told = ((run.name, run.failure(self.tolerance)) for run in self.runs)
        return [f"{name}: {reason}" for name, reason in told if reason is not None]


def report(result: BenchResult) -> dict[str, Any]:
    """Everything, as plain JSON values."""
    golden, now = result.versions
    return {
        "passed": not result.failures,
        "tolerance_percent": result.tolerance,
        "golden_blis_version": golden,
        "blis_version": now,
        "runs": [
            {
                "name": run.name,
                "status": run.status,
                "failure": run.failure(result.tolerance),
                "settings": list(run.settings),
                "figures": [{**change._asdict(), "percent": change.percent} for change in run.figures],
            }
            for run in result.runs
        ],
    }


def text(result: BenchResult) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    from blis.report.tables import table

    yield _heading(result)
    runs = table(*_RUNS, words=_RUNS[:2])
    for run in result.runs:
        runs.add_row(*_run_cells(run))
    yield runs
    if _changes(result):
        changes = table(*_CHANGES, words=_CHANGES[:2])
        for cells in _changes(result):
            changes.add_row(*cells)
        yield changes
    yield from _notes(result)


def markdown(result: BenchResult) -> str:
    """The same for the summary of a CI job."""
    lines = [_heading(result), "", row_of(_RUNS), "|:--|:--|--:|"]
    lines += [row_of(_run_cells(run)) for run in result.runs]
    if _changes(result):
        lines += ["", row_of(_CHANGES), "|:--|:--|--:|--:|--:|", *map(row_of, _changes(result))]
    failed = [f"- **Failed** {failure}" for failure in result.failures]
    return "\n".join([*lines, "", *failed, *(f"- {note}" for note in _notes(result))])


def _heading(result: BenchResult) -> str:
    golden, now = result.versions
    of = f"blis {now}" if golden == now else f"blis {now} (golden runs: {golden})"
    return f"{len(result.runs)} runs, {of}: {len(result.failures)} failed"


def _run_cells(run: RunDifference) -> tuple[str, ...]:
    return run.name, run.status, str(len(run.figures))


def _changes(result: BenchResult) -> list[tuple[str, ...]]:
    return [(run.name, *_cells(change)) for run in result.runs for change in run.figures]


def _cells(change: FigureChange) -> tuple[str, ...]:
    percent = "" if change.percent is None else f"{change.percent:+.2f}"
    values = (value if isinstance(value, str) else shown_number(value) for value in (change.before, change.after))
    return change.name, *values, percent


def _notes(result: BenchResult) -> list[str]:
    return [f"{run.name}: told otherwise: {', '.join(run.settings)}" for run in result.runs if run.settings]
