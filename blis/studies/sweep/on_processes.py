"""Processes that are copies of this one, with all that it has read, decided and loaded."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from blis.errors import ConfigError, EngineError


def can_split() -> bool:
    """Whether copies of this process work.

    Only on Linux, where no library forbids it, and while there is one thread: locks that others hold stay locked in a
    copy. So do those of polars, whose threads Python does not know of.
    """
    return sys.platform == "linux" and threading.active_count() == 1 and "polars" not in sys.modules


class ProcessCluster:
    """Copies of this process; see `blis.studies.sweep.executors.Cluster`.

    Args:
        jobs: how many.

    Raises:
        ConfigError: this process cannot be copied.
    """

    def __init__(self, jobs: int) -> None:
        if not can_split():
            raise ConfigError(
                "executor: processes need Linux, a process of one thread, and polars not imported before; "
                "threads are always possible"
            )
        self._jobs = jobs
        self._pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), _leave_ctrl_c_to_parent)
        self._others = set(multiprocessing.active_children())

    def num_workers(self) -> int:
        """How many."""
        return self._jobs

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have a chunk done."""
        return self._pool.submit(work, *arguments)

    def wait(self, pending: Sequence[Future[Any]]) -> Future[Any]:
        """One of the submitted chunks that is done."""
        return next(iter(wait(pending, return_when=FIRST_COMPLETED).done))

    def result(self, done: Future[Any]) -> list[tuple[Any, ...]]:
        """What it gave.

        Raises:
            EngineError: a process was killed.
        """
        try:
            rows: list[tuple[Any, ...]] = done.result()
        except BrokenProcessPool:
            raise EngineError(
                "executor: a process died; its memory may have run out: fewer --jobs need less"
            ) from None
        return rows

    def close(self) -> None:
        """End them, whatever they are doing."""
        for process in set(multiprocessing.active_children()) - self._others:
            process.terminate()
        self._pool.shutdown(cancel_futures=True)


def _leave_ctrl_c_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
