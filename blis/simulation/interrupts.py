"""Ctrl-C, put off for a moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[Callable[[], None]]:
    """Let a Ctrl-C wait until the block is done, or calls what it gets, so that what it does happens once and whole.

    A second one does not wait: a policy in plain Python may never come to an end.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield _nothing
        return
    pressed: list[tuple[int, FrameType | None]] = []

    def wait(*received: Any) -> None:
        if pressed:
            before(*received)
        pressed.append(received)

    def let() -> None:
        if pressed:
            before(*pressed.pop(0))

    signal.signal(signal.SIGINT, wait)
    try:
        yield let
    finally:
        signal.signal(signal.SIGINT, before)
    let()


def _nothing() -> None:
    """Nobody can press Ctrl-C here."""
