"""What a comparison has to say: JSON values, a table for a terminal, a table in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from blis.studies.compare.comparison import Change, Comparison
from blis.studies.compare.conditions import Failure

_HEADINGS = ("metric", "A", "B", "difference", "%", "95 % interval")
_HEADLINES = ("ttft_p99_ms", "tpot_p99_ms", "responses_per_sec")
#: Behind intervals that leave zero out.
_SIGNIFICANT = " †"
LEGEND = "† significant: the 95 % interval of the difference leaves zero out."


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
    lines = [f"A: `{comparison.a.name}`, B: `{comparison.b.name}`", "", row_of(_HEADINGS)]
    lines.append("|:--|" + "--:|" * (len(_HEADINGS) - 1))
    lines += [row_of([f"`{change.metric}`", *cells(change)]) for change in comparison.changes]
    if failed:
        lines += ["", *(f"- **Failed** {failure.reason.replace('<', '&lt;')}" for failure in failed)]
    return "\n".join([*lines, "", *(f"{note}  " for note in _notes(comparison))])


def headlines(comparison: Comparison) -> Iterator[str]:
    """Which runs, and what of the figures that people look at first differs by how much."""
    changes = [comparison.by_metric[name] for name in _HEADLINES if name in comparison.by_metric]
    told = [f"{each.metric} {each.percent:+.2f} %" for each in changes if each.percent is not None]
    significant = sum(change.significant is True for change in comparison.changes)
    counts = f"{significant} of {len(comparison.changes)} figures differ significantly"
    yield f"A: {comparison.a.name}, B: {comparison.b.name}; {', '.join([*told, counts])}"


def text(comparison: Comparison) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    from blis.report.tables import table

    yield f"A: {comparison.a.name}\nB: {comparison.b.name}"
    changes = table(*_HEADINGS)
    for change in comparison.changes:
        changes.add_row(change.metric, *cells(change))
    yield changes
    yield from _notes(comparison)


def _notes(comparison: Comparison) -> list[str]:
    starred = any(change.significant for change in comparison.changes)
    return [*([LEGEND] if starred else []), *comparison.notes]


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


def row_of(cells: Sequence[str]) -> str:
    """Cells as a row of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def cells(change: Change) -> list[str]:
    """Both figures, difference, percent and interval of a change, as people read them."""
    percent = "–" if change.percent is None else f"{change.percent:+.2f}"
    interval = "" if change.interval is None else " to ".join(map(shown_number, change.interval))
    numbers = [shown_number(change.a), shown_number(change.b), shown_number(change.difference, "+")]
    return [*numbers, percent, interval + (_SIGNIFICANT if change.significant else "")]


def shown_number(value: float | None, sign: str = "") -> str:
    """Whole numbers as they are, others with about four digits and at most three decimals."""
    if value is None:
        return "–"
    if value == 0 or isinstance(value, int):
        return f"{value:{sign}d}" if value else "0"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    decimals = max(0, min(3, 3 - math.floor(math.log10(abs(value)))))
    return f"{value:{sign}.{decimals}f}"
