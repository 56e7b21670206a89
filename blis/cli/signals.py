"""Signals that end a process let it clean up first, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from blis.errors import SignalExit

#: What shells add to the number of the signal that has ended a process.
EXIT_OF_SIGNAL = 128
_NAMES = ("SIGTERM", "SIGHUP")  # the second is not known everywhere


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """In the block they raise SignalExit, with 143 for SIGTERM, unless somebody else handles or ignores them."""
    known = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()
    ours = [number for number in known if is_main and signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, _: FrameType | None) -> None:
    raise SignalExit(EXIT_OF_SIGNAL + number)
