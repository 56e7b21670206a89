"""Outcomes and answers as a notebook shows them: plain HTML in the notebook's own colours."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from blis.files.printable import printable
from blis.outcomes.outcomes import Outcomes
from blis.report.run_table import LATENCIES, STATISTICS, latency_rows, totals, verdict

if TYPE_CHECKING:
    from rich.table import Column, Table

_RIGHT, _LEFT = "text-align:right", "text-align:left"
#: Of columns of bars, which are as long as they have letters.
_BARS = ";white-space:pre;font-family:monospace"
#: Lines and rows that are shown; the pages of answers show all.
_MOST_PARTS, _MOST_ROWS = 24, 24


def outcomes_html(outcomes: Outcomes) -> str:
    """The verdict, latencies and totals; no styles but alignment, no scripts, nothing from elsewhere."""
    summary = outcomes.summary
    head = "".join(f'<th style="{_RIGHT}">{name}</th>' for name in STATISTICS)
    rows = [_row(name, values, _RIGHT) for name, values in latency_rows(summary, LATENCIES).items()]
    rest = [_row(name, [value], _LEFT) for name, value in totals(summary)]
    return (
        f"<p><b>{_text(verdict(outcomes, summary))}</b></p>"
        f'<table><thead><tr><th style="{_LEFT}">Latency (ms)</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
        f"<table><tbody>{''.join(rest)}</tbody></table>"
    )


def parts_html(parts: Iterable[Any]) -> str:
    """What `rich` prints of an answer, texts and tables, as HTML; the first text is the answer itself."""
    made = [part for part in parts if str(part).strip()]
    shown = [_table(part) if hasattr(part, "columns") else f"<p>{_lines(part)}</p>" for part in made[:_MOST_PARTS]]
    if made and not hasattr(made[0], "columns"):
        shown[0] = f"<p><b>{_lines(made[0])}</b></p>"
    return "".join(shown) + _more(len(made) - len(shown), "lines")


def _table(table: Table) -> str:
    columns = table.columns
    styles = [_style(column) for column in columns]
    names = [f'<th style="{style}">{_lines(column.header)}</th>' for column, style in zip(columns, styles, strict=True)]
    head = f"<thead><tr>{''.join(names)}</tr></thead>" if table.show_header else ""
    rows = islice(zip(*(column.cells for column in columns), strict=True), _MOST_ROWS)
    body = "".join(f"<tr>{_cells(row, styles)}</tr>" for row in rows)
    title = f"<p>{_lines(table.title)}</p>" if table.title else ""
    more = _more(table.row_count - _MOST_ROWS, "rows")
    return f"{title}<table>{head}<tbody>{body}</tbody></table>{more}"


def _style(column: Column) -> str:
    has_bars = any(str(cell).startswith("█") for cell in column.cells)
    return (_RIGHT if column.justify == "right" else _LEFT) + (_BARS if has_bars else "")


def _cells(row: Iterable[Any], styles: Iterable[str]) -> str:
    return "".join(f'<td style="{style}">{_lines(value)}</td>' for value, style in zip(row, styles, strict=True))


def _more(count: int, what: str) -> str:
    return f"<p>… and {count:,} more {what}</p>" if count > 0 else ""


def _row(name: str, values: list[str], style: str) -> str:
    cells = "".join(f'<td style="{style}">{_text(value)}</td>' for value in values)
    return f'<tr><th style="{_LEFT}">{_text(name)}</th>{cells}</tr>'


def _lines(text: Any) -> str:
    """Text, or text of rich."""
    return _text(str(text).strip("\n")).replace("\n", "<br>")


def _text(text: str) -> str:
    return escape(printable(text))
