"""Ctrl-C and other signals that end a process, put off for a moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def uninterrupted() -> Iterator[Callable[[], None]]:
    """Let signals wait until the block is done, or calls what it gets, so that what it does happens once and whole.

    Only those wait that somebody handles. A second one does not: a policy in plain Python may never come to an end.
    """
    handlers = {number: signal.getsignal(number) for number in _NUMBERS}
    before = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread() or not before:
        yield _nothing
        return
    received: list[tuple[int, FrameType | None]] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if received:
            before[number](number, frame)
        received.append((number, frame))

    def let() -> None:
        if received:
            number, frame = received.pop(0)
            before[number](number, frame)

    for number in before:
        signal.signal(number, wait)
    try:
        yield let
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    let()


def _nothing() -> None:
    """No signal comes here."""
