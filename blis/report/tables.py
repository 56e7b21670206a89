"""What all tables for terminals have in common: their looks, how figures are written, and how they become text."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from blis.files.printable import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

#: More than the tables need, for where there is no terminal to ask.
_WIDTH = 100
_BARS = "▁▂▃▄▅▆▇█"


def render(parts: Iterable[Any]) -> str:
    """Text of the parts, each of which rich can print; coloured and as wide as the terminal only on a terminal.

    What a terminal would obey stands in it only if rich has put it there.
    """
    is_terminal = sys.stdout.isatty()
    text = io.StringIO()
    # rich asks the environment for the width of a terminal (COLUMNS) and whether colours are wanted (NO_COLOR)
    console = _console()(
        file=text, force_terminal=is_terminal, width=None if is_terminal else _WIDTH, highlight=False, emoji=False
    )
    for part in parts:
        console.print(part, markup=False, soft_wrap=getattr(part, "no_wrap", None) is True)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


@functools.cache
def _console() -> Any:
    from rich.console import Console
    from rich.segment import Segment

    class PrintableConsole(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return PrintableConsole


def table(*columns: str, words: Sequence[str] = (), title: str | None = None) -> Table:
    """Make a table whose first column and those of words stand to the left, as further columns without a name do.

    No figure is ever cut: where it is too wide, words take several lines, then columns move below (`FittedTable`).

    Args:
        columns: headings.
        words: headings of columns that hold words.
        title: stands above it.
    """
    from rich import box

    from blis.report.fitted import FittedTable

    made = FittedTable(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="",
    )
    for number, name in enumerate(columns):
        is_word = number == 0 or name in words or name == ""
        made.add_column(name, justify="left" if is_word else "right", no_wrap=True, overflow="fold")
    return made


def unwrapped(text: str) -> Text:
    """Text that is not broken into lines, such as a command that people copy."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ignore")


def pairs(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Make a table of names and values without headings."""
    made = table("", "value", title=title, words=("value",))
    made.show_header = False
    for name, value in rows:
        made.add_row(name, value)
    return made


def sparkline(values: Sequence[float]) -> str:
    """One bar per value, from 0 to the highest of them."""
    most = max(values, default=0.0)
    if most <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(round(value / most * (len(_BARS) - 1)), len(_BARS) - 1)] for value in values)


def number(value: float | None, decimals: int = 1) -> str:
    """A figure with separators of thousands; a dash where there is none."""
    return "-" if value is None else f"{value:,.{decimals}f}"


def percent(value: float | None, *, signed: bool = False) -> str:
    """A share in per cent; a dash where there is none."""
    return "-" if value is None else f"{100 * value:{'+' if signed else ''},.1f} %"
