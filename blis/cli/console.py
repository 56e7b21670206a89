"""What people see: log lines and a progress bar on stderr, and whether stdout gets tables."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from blis.files.document import json_document
from blis.files.output import naming
from blis.files.printable import printable

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

#: Those of them at which single runs tell their events.
EVENT_LEVELS = ("debug", "trace")

log = logging.getLogger("blis")


class _Formatter(logging.Formatter):
    """``blis: warning: …``"""

    def format(self, record: logging.LogRecord) -> str:
        return printable(f"blis: {record.levelname.lower()}: {super().format(record)}")


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


def tell(message: str) -> None:
    """Say something on stderr that is no matter of ``--log``."""
    click.echo(printable(f"blis: {message}"), err=True)


def set_verbosity(flags: Mapping[str, Any]) -> None:
    """Let through what ``--log`` asks for; ``--quiet`` leaves errors only."""
    log.setLevel(logging.ERROR if flags.get("quiet") else LOG_LEVELS[flags["log"]])
    if flags["log"] in EVENT_LEVELS and "log_file" not in flags:
        log.debug("this command tells no events; blis run and blis replay do")


def new_bar(unit: str, **more: Any) -> Any:
    """A bar on stderr that is gone when it is done; ``more`` is what tqdm takes."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of its own: only a process of one thread can be copied
    return tqdm(delay=BAR_AFTER_S, unit=unit, leave=False, file=sys.stderr, **more)


def wants_table(output: str | None) -> bool:
    """Whether stdout gets tables rather than JSON: as ``--output`` says, else if it is a terminal."""
    return output == "table" or (output is None and sys.stdout.isatty())


def print_text(text: str) -> None:
    """Print lines on stdout, with what its encoding lacks replaced.

    Raises:
        OSError: they cannot be written; names stdout.
    """
    encoding = _encoding()
    with naming(Path("stdout")):
        click.echo(text.encode(encoding, "replace").decode(encoding).removesuffix("\n"))


def print_json(values: Any) -> None:
    """Print plain JSON values on stdout, as one document.

    Raises:
        OSError: as `print_text`.
    """
    print_text(json_document(values, ascii_only=not _encoding().lower().startswith("utf")))


def print_result(output: str | None, as_json: Callable[[], Any], as_text: Callable[[], str | Iterable[Any]]) -> None:
    """Print a result on stdout; a command does so once, so that its JSON is one document.

    Args:
        output: of ``--output``.
        as_json: gives plain JSON values.
        as_text: gives printable lines, or what rich can print.
    """
    if not wants_table(output):
        print_json(as_json())
        return
    from blis.report.tables import render

    text = as_text()
    print_text(text if isinstance(text, str) else render(text))


def _encoding() -> str:
    """That of stdout; where it has none, what is printed is not encoded at all."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def wants_events(flags: Mapping[str, Any]) -> bool:
    """Whether stderr gets the events of a run."""
    asked_for = "log_file" in flags and flags["log_file"] is None and flags["log"] in EVENT_LEVELS
    return asked_for and not flags["quiet"]


def wants_bar(flags: Mapping[str, Any]) -> bool:
    """Whether stderr is a terminal that a progress bar may be drawn on."""
    return not flags.get("quiet") and not wants_events(flags) and sys.stderr.isatty()


@contextmanager
def progress_bar(flags: Mapping[str, Any]) -> Iterator[Callable[[int, int, int], None] | None]:
    """Yield what `Simulation.run` calls with its progress; None: there is nobody to show it to."""
    if not wants_bar(flags):
        yield None
        return
    with new_bar(" requests") as bar:

        def show(finished: int, total: int, clock_us: int) -> None:
            bar.total = total
            bar.set_postfix_str(f"simulated {clock_us / 1e6:,.0f} s", refresh=False)
            bar.update(finished - bar.n)

        yield show
