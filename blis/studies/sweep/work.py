"""From the settings of a run to its row, in any thread or process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from blis import __version__
from blis.errors import BlisError, EngineError
from blis.outcomes.outcomes import Outcomes
from blis.studies.sweep.cases import Cases
from blis.studies.sweep.file import Sweep
from blis.studies.sweep.runner import Runner, StoppedError


class Task(NamedTuple):
    """A run to do, as plain data.

    Attributes:
        run: its number in the sweep.
        settings: plain values by key.
        replication: is added to the seed.
    """

    run: int
    settings: Mapping[str, Any]
    replication: int


class Row(NamedTuple):
    """What a run gave, as plain data.

    Attributes:
        run: its number in the sweep.
        seed: of its draws; None: nothing was run.
        status: ``ok``, ``failed``, or ``refused``: values exclude each other, so nothing was run.
        error: why it is not ``ok``; else None.
        metrics: ``steady_state`` (`blis.outcomes.metrics.steady_state.VERDICTS`) and the figures of the summary, by
            name; empty if it is not ``ok``.
    """

    run: int
    seed: int | None
    status: str
    error: str | None
    metrics: Mapping[str, Any]


def tasks(sweep: Sweep, runs: Sequence[int] | range) -> Iterator[Task]:
    """The runs of these numbers; replications of a point come one after the other."""
    for run in runs:
        point, replication = divmod(run, sweep.replications)
        yield Task(run, sweep.points[point].values, replication)


class Worker:
    """Does runs, in any number of threads.

    Args:
        folder: where files that settings name are looked for.
    """

    def __init__(self, folder: Path) -> None:
        self.cases = Cases(folder)
        self.runner = Runner()

    def load(self, task: Task) -> None:
        """Load all that a run calls, without doing it; what goes wrong is left to the run."""
        with suppress(BlisError):
            self.runner.load(self.cases.case(task.settings, task.replication))

    def row(self, task: Task) -> Row:
        """Do a run. Whatever goes wrong in it becomes its error.

        Raises:
            StoppedError: the runner was stopped.
        """
        case = self.cases.case(task.settings, task.replication)
        seed = case.seed or 0
        try:
            outcomes = self.runner.run(case)
            metrics = figures_of(outcomes)
        except StoppedError:
            raise
        except Exception as error:
            return Row(task.run, seed, "failed", _message(error), {})
        return Row(task.run, seed, "ok", None, metrics)


#: Parts of a summary that are no figures.
_NO_FIGURES = ("instance_id", "interrupted")


def figures_of(outcomes: Outcomes) -> dict[str, Any]:
    """The verdict on a run, ``steady_state``, and the figures of its summary, by name."""
    figures = {name: value for name, value in outcomes.summary.items() if name not in _NO_FIGURES}
    return {"steady_state": outcomes.steady_state.verdict, **figures}


def _message(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, BlisError):
        return text
    if isinstance(error, MemoryError):
        return f"not enough memory: {text}"
    return f"unexpected {type(error).__name__}: {text}"


@lru_cache(maxsize=2)
def _worker(folder: str) -> Worker:
    return Worker(Path(folder))


def run_chunk(version: str, folder: str, chunk: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What a worker in another process does: runs, one after the other.

    Args:
        version: of blis where the sweep is; another one might give other figures.
        folder: where files that settings name are looked for; the same path for all workers.
        chunk: tasks, as tuples.

    Raises:
        EngineError: another version is installed here.
    """
    if version != __version__:
        raise EngineError(f"a worker has blis {__version__}, the sweep needs {version}; install the same everywhere")
    worker = _worker(folder)
    return [tuple(worker.row(Task(*task))) for task in chunk]
