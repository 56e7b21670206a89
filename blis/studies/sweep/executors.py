"""Where runs take place: processes of this machine, threads of this process, or workers of a Dask or Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from blis import __version__
from blis.errors import ConfigError, nearest
from blis.studies.processes import can_split, in_processes
from blis.studies.sweep.file import Sweep
from blis.studies.sweep.threads import in_threads
from blis.studies.sweep.work import Row, Task, Worker, run_chunk, tasks

NAMES = ("processes", "threads", "dask", "dask://host:port", "ray", "ray://host:port")

#: Chunks per worker, so that a slow one at the end does not keep the others waiting for long.
_CHUNKS_PER_WORKER = 32
#: Runs per chunk at most: so much work a worker that dies takes along.
_MOST_PER_CHUNK = 64
#: Chunks that are handed out at a time, per worker.
_AHEAD = 3


class Cluster(Protocol):
    """Workers elsewhere."""

    def num_workers(self) -> int:
        """Chunks that can be done at once."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Have a chunk done; one whose worker dies is done again by another."""

    def wait(self, pending: Sequence[Any]) -> Any:
        """One of the submitted chunks that is done."""

    def result(self, done: Any) -> list[tuple[Any, ...]]:
        """What it gave.

        Raises:
            EngineError: the workers that did it died, again and again, or have another version.
        """

    def close(self) -> None:
        """Let go of chunks under way, and end what was started."""


@dataclass(frozen=True)
class Executor:
    """An executor, as asked for.

    Attributes:
        kind: ``processes``, ``threads``, ``dask`` or ``ray``.
        address: of a cluster that runs already; None: one on this machine.
    """

    kind: str
    address: str | None = None

    def rows(self, sweep: Sweep, runs: Sequence[int], worker: Worker, jobs: int) -> Generator[Row, None, None]:
        """Do runs; their rows come as they finish.

        Args:
            sweep: whose runs they are.
            runs: their numbers.
            worker: of this process, with what it knows from checking the sweep.
            jobs: processes or threads on this machine.
        """
        todo, jobs = tasks(sweep, runs), min(jobs, max(len(runs), 1))
        if self.kind == "threads" or (self.kind == "processes" and jobs == 1):
            return in_threads(worker.row, todo, jobs, worker.runner.stop)
        if self.kind == "processes":
            return _on_copies(worker, list(_chunks(todo, _size(len(runs), jobs))), jobs)
        return self._on_cluster(sweep, todo, len(runs), jobs)

    def _on_cluster(self, sweep: Sweep, todo: Iterator[Task], count: int, jobs: int) -> Generator[Row, None, None]:
        cluster = self._connect(jobs)
        try:
            workers = cluster.num_workers()
            chunks = _chunks(todo, _size(count, workers))
            pending: list[Any] = []
            while True:
                pending += [
                    cluster.submit(run_chunk, __version__, str(sweep.folder), [tuple(task) for task in chunk])
                    for chunk in islice(chunks, _AHEAD * workers - len(pending))
                ]
                if not pending:
                    return
                done = cluster.wait(pending)
                pending.remove(done)
                yield from (Row(*row) for row in cluster.result(done))
        finally:
            cluster.close()

    def _connect(self, jobs: int) -> Cluster:
        if self.kind == "dask":
            from blis.studies.sweep.on_dask import DaskCluster

            return DaskCluster(self.address, jobs)
        from blis.studies.sweep.on_ray import RayCluster

        return RayCluster(self.address, jobs)


def _on_copies(worker: Worker, chunks: Sequence[list[Task]], jobs: int) -> Generator[Row, None, None]:
    worker.load(chunks[0][0])  # in all copies then
    for _, rows in in_processes(lambda chunk: list(map(worker.row, chunk)), chunks, jobs):
        yield from rows


def _size(count: int, workers: int) -> int:
    """Runs per chunk."""
    return max(1, min(_MOST_PER_CHUNK, count // (workers * _CHUNKS_PER_WORKER)))


def _chunks(todo: Iterator[Task], size: int) -> Iterator[list[Task]]:
    return iter(lambda: list(islice(todo, size)), [])


def executor_of(name: str | None) -> Executor:
    """The executor of this name; whether it is installed and can be reached is not looked at.

    Args:
        name: None: processes, or threads where this one cannot be copied.

    Raises:
        ConfigError: an unknown name.
    """
    if name is None:
        return Executor("processes" if can_split() else "threads")
    kind, has_address, address = name.partition("://")
    local = ("processes", "threads")
    if kind not in (*local, "dask", "ray") or (has_address and (kind in local or not address)):
        raise ConfigError(f"executor: unknown name {name!r}; {nearest(name, NAMES)}")
    return Executor(kind, address or None)
