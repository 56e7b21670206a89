"""Outcomes as a notebook shows them: headline figures as a table of plain HTML."""

from __future__ import annotations

from html import escape

from blis.outcomes.outcomes import Outcomes
from blis.report.run_table import LATENCIES, STATISTICS, latency_rows, totals, verdict

_RIGHT, _LEFT = "text-align:right", "text-align:left"


def outcomes_html(outcomes: Outcomes) -> str:
    """The verdict, latencies and totals; no styles but alignment, no scripts, nothing from elsewhere."""
    summary = outcomes.summary
    head = "".join(f'<th style="{_RIGHT}">{name}</th>' for name in STATISTICS)
    rows = [_row(name, values, _RIGHT) for name, values in latency_rows(summary, LATENCIES).items()]
    rest = [_row(name, [value], _LEFT) for name, value in totals(summary)]
    return (
        f"<p><b>{escape(verdict(outcomes, summary))}</b></p>"
        f'<table><thead><tr><th style="{_LEFT}">Latency (ms)</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
        f"<table><tbody>{''.join(rest)}</tbody></table>"
    )


def _row(name: str, values: list[str], style: str) -> str:
    cells = "".join(f'<td style="{style}">{escape(value)}</td>' for value in values)
    return f'<tr><th style="{_LEFT}">{escape(name)}</th>{cells}</tr>'
