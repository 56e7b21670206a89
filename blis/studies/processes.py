"""Work shared out among copies of this process, which have all that it has read, decided and loaded."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from blis.errors import ConfigError, EngineError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Of Linux: the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1
#: What copies of this process do, with which items.
_work: tuple[Callable[[Any], Any], Sequence[Any]]


def can_split() -> bool:
    """Whether copies of this process work.

    Only on Linux, where no library of the system forbids it, and while there is one thread: locks that others hold stay
    locked in a copy. So do those of polars, whose threads Python does not know of.
    """
    return sys.platform == "linux" and threading.active_count() == 1 and "polars" not in sys.modules


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], jobs: int
) -> Generator[tuple[int, Result], None, None]:
    """Do work on items in some processes; yields positions and results as they come.

    Neither the work nor the items are sent anywhere: the copies have them. Only results are, as pickles.

    Args:
        work: what is done with an item. What it raises ends everything, and is raised here.
        items: taken one by one, by whichever process is free.
        jobs: processes, >= 1.

    Raises:
        ConfigError: this process cannot be copied.
        EngineError: a process was killed.
    """
    global _work
    if not can_split():
        raise ConfigError(
            "executor: processes need Linux, and a process with one thread that has not imported polars; threads do not"
        )
    _work = work, items
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), _begin, (os.getpid(),))
    try:
        for done in as_completed([pool.submit(_do, index) for index in range(len(items))]):
            yield done.result()
    except BrokenProcessPool:
        raise EngineError("a process was killed; perhaps memory has run out: fewer jobs need less") from None
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _do(index: int) -> tuple[int, Any]:
    work, items = _work
    return index, work(items[index])


def _begin(parent: int) -> None:
    """Leave signals to the process that this one is a copy of, and end with it, even if that is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
