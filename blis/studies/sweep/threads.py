"""Work shared out among threads, and results as they come."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: How long to wait for a result before looking whether Ctrl-C was pressed.
_LOOK_EVERY_S = 0.2


def default_jobs() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], jobs: int, stop: Callable[[], None] = lambda: None
) -> Generator[Result, None, None]:
    """Do work on items in some threads; yields results as they come, not in the order of the items.

    Args:
        work: what is done with an item. What it raises ends everything, and is raised here.
        items: taken one by one, by whichever thread is free.
        jobs: threads, >= 1; 1: no thread but this one.
        stop: called when nobody wants further results (Ctrl-C, an error, a closed generator): makes work under way
            come to an end.
    """
    if jobs == 1:
        yield from map(work, items)
        return
    source, lock, ended = iter(items), threading.Lock(), threading.Event()
    results: queue.SimpleQueue[tuple[Result | None, BaseException | None, bool]] = queue.SimpleQueue()

    def take() -> tuple[Item, ...]:
        with lock:
            return () if ended.is_set() else next(((item,) for item in source), ())

    def loop() -> None:
        try:
            while taken := take():
                results.put((work(*taken), None, False))
            results.put((None, None, True))
        except BaseException as error:
            results.put((None, error, True))

    threads = [threading.Thread(target=loop, name=f"run-{i}", daemon=True) for i in range(jobs)]
    for thread in threads:
        thread.start()
    running = jobs
    try:
        while running:
            try:
                result, error, is_last = results.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            running -= is_last
            if not is_last:
                yield result  # type: ignore[misc]  # only the last of a thread is None for no result
    finally:
        ended.set()
        if running:
            stop()
        for thread in threads:
            thread.join()
