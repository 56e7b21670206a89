"""What people see on stderr: log lines and a progress bar."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: A bar for a run that is over at once would only flicker.
BAR_AFTER_S = 1.5

#: ``--log`` to the levels Python has.
LOG_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}

log = logging.getLogger("blis")


class _Formatter(logging.Formatter):
    """``blis: warning: …``"""

    def format(self, record: logging.LogRecord) -> str:
        return f"blis: {record.levelname.lower()}: {super().format(record)}"


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Let what the package logs go to stderr; the level is set by ``--log``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


def wants_table(output: str | None) -> bool:
    """Whether stdout gets tables rather than JSON: as ``--output`` says, else if it is a terminal."""
    return output == "table" or (output is None and sys.stdout.isatty())


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, int], None] | None]:
    """Yield what `Simulation.run` calls with its progress; None unless stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(delay=BAR_AFTER_S, unit=" requests", leave=False, file=sys.stderr) as bar:

        def show(finished: int, total: int, clock_us: int) -> None:
            bar.total = total
            bar.set_postfix_str(f"simulated {clock_us / 1e6:,.0f} s", refresh=False)
            bar.update(finished - bar.n)

        yield show
