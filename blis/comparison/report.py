"""What a comparison has to say: JSON values, a table for a terminal, a table in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from blis.comparison.comparison import Change, Comparison
from blis.comparison.conditions import Failure

_HEADINGS = ("metric", "A", "B", "difference", "%", "95 % interval", "")
_SIGNIFICANT = {True: "significant", False: "", None: ""}


def report(comparison: Comparison, failed: Sequence[Failure]) -> dict[str, Any]:
    """Everything about a comparison, as plain JSON values; an end of an interval that has no bound is None."""
    sides = {"a": comparison.a, "b": comparison.b}
    return {
        **{key: {"name": side.name, "verdict": side.verdict} for key, side in sides.items()},
        "paired_requests": comparison.num_pairs,
        "notes": list(comparison.notes),
        "metrics": [_values(change) for change in comparison.changes],
        "failed": [failure._asdict() for failure in failed],
    }


def markdown(comparison: Comparison, failed: Sequence[Failure]) -> str:
    """The same for the summary of a CI job."""
    lines = [f"A: `{comparison.a.name}`, B: `{comparison.b.name}`", "", _row(_HEADINGS)]
    lines.append("|:--|" + "--:|" * (len(_HEADINGS) - 2) + ":--|")
    lines += [_row([f"`{change.metric}`", *_cells(change)]) for change in comparison.changes]
    if failed:
        lines += ["", *(f"- **Failed** {failure.reason.replace('<', '&lt;')}" for failure in failed)]
    return "\n".join([*lines, "", *(f"{note}  " for note in comparison.notes)])


def text(comparison: Comparison) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    from rich.table import Table

    yield f"A: {comparison.a.name}\nB: {comparison.b.name}"
    table = Table(_HEADINGS[0])
    for heading in _HEADINGS[1:-1]:
        table.add_column(heading, justify="right")
    table.add_column(_HEADINGS[-1])
    for change in comparison.changes:
        table.add_row(change.metric, *_cells(change))
    yield table
    yield from comparison.notes


def _values(change: Change) -> dict[str, Any]:
    low, high = change.interval or (None, None)
    return {
        "metric": change.metric,
        "a": change.a,
        "b": change.b,
        "difference": change.difference,
        "percent": change.percent,
        "low": _finite(low),
        "high": _finite(high),
        "significant": change.significant,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(change: Change) -> list[str]:
    percent = "–" if change.percent is None else f"{change.percent:+.2f}"
    interval = "" if change.interval is None else " to ".join(_number(end, "+") for end in change.interval)
    numbers = [_number(change.a), _number(change.b), _number(change.difference, "+")]
    return [*numbers, percent, interval, _SIGNIFICANT[change.significant]]


def _number(value: float | None, sign: str = "") -> str:
    """Whole numbers as they are, others with four significant digits or two decimals."""
    if value is None:
        return "–"
    if isinstance(value, int) or value == 0:
        return f"{value:{sign if value else ''}}"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:{sign}.2f}" if abs(value) >= 100 else f"{value:{sign}.4g}"
