"""What a comparison has to say: JSON values, a table for a terminal, a table in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from blis.studies.compare.comparison import Change, Comparison, Comparisons
from blis.studies.compare.conditions import Failure, unit_of
from blis.studies.compare.sides import Side

_HEADLINES = ("ttft_p99_ms", "tpot_p99_ms", "responses_per_sec")
#: At changes whose interval leaves zero out.
_MARK = "†"
LEGEND = f"{_MARK} significant: the 95 % interval of the difference leaves zero out."


class Tabled(NamedTuple):
    """The table of a comparison.

    Attributes:
        headings: of its columns.
        rows: of texts, the first one the figure's name.
        unchanged: a line about the counts that are the same in all runs; empty: there are none.
    """

    headings: tuple[str, ...]
    rows: list[list[str]]
    unchanged: str


def report(comparison: Comparison | Comparisons, failed: Sequence[Failure]) -> dict[str, Any]:
    """Everything about a comparison, as plain JSON values; an end of an interval that has no bound is None."""
    failures = {"failed": [failure._asdict() for failure in failed]}
    if isinstance(comparison, Comparison):
        return {"a": _side(comparison.a), **_pair(comparison), **failures}
    return {"a": _side(comparison.baseline), "comparisons": [_pair(pair) for pair in comparison.pairs], **failures}


def markdown(comparison: Comparison | Comparisons, failed: Sequence[Failure]) -> str:
    """The same for the summary of a CI job."""
    made = shown(comparison)
    lines = [", ".join(f"{side.label}: `{side.name}`" for side in sides(comparison)), "", row_of(made.headings)]
    lines.append("|:--|" + "--:|" * (len(made.headings) - 1))
    lines += [row_of([f"`{name}`", *cells]) for name, *cells in made.rows]
    if failed:
        lines += ["", *(f"- **Failed** {failure.reason.replace('<', '&lt;')}" for failure in failed)]
    return "\n".join([*lines, "", *(f"{note}  " for note in _notes(comparison, made))])


def headlines(comparison: Comparison | Comparisons) -> Iterator[str]:
    """Which runs, and what of the figures that people look at first differs by how much."""
    for pair in pairs_of(comparison):
        changes = [pair.by_metric[name] for name in _HEADLINES if name in pair.by_metric]
        told = [f"{each.metric} {each.percent:+.2f} %" for each in changes if each.percent is not None]
        significant = sum(change.significant is True for change in pair.changes)
        counts = f"{significant} of {len(pair.changes)} figures differ significantly"
        yield f"{pair.a.label}: {pair.a.name}, {pair.b.label}: {pair.b.name}; {', '.join([*told, counts])}"


def text(comparison: Comparison | Comparisons) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    from blis.report.tables import table

    for side in sides(comparison):
        yield f"{side.label}: {side.name}"
    yield ""
    made = shown(comparison)
    lines: list[Sequence[str]] = [made.headings, *made.rows]
    if isinstance(comparison, Comparisons):
        lines = list(zip(*_joined(lines), strict=True))
    changes = table(*lines[0])
    for line in lines[1:]:
        changes.add_row(*line)
    yield changes
    yield ""
    yield from _notes(comparison, made)


def _joined(rows: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Columns; the value of each run and its change are one, so that they stay together where room is short."""
    metric, baseline, *others = zip(*rows, strict=True)
    yield from (metric, baseline)
    for values, percents in zip(others[::2], others[1::2], strict=True):
        wide, narrow = (max(map(len, column)) for column in (values, percents))
        yield [f"{value:>{wide}}  {change:>{narrow}}" for value, change in zip(values, percents, strict=True)]


def sides(comparison: Comparison | Comparisons) -> list[Side]:
    """The runs, the baseline first."""
    pairs = pairs_of(comparison)
    return [pairs[0].a, *(pair.b for pair in pairs)]


def pairs_of(comparison: Comparison | Comparisons) -> tuple[Comparison, ...]:
    """One comparison per run that is compared with the baseline."""
    return (comparison,) if isinstance(comparison, Comparison) else comparison.pairs


def shown(comparison: Comparison | Comparisons) -> Tabled:
    """The table: of two runs with intervals, of more with values and changes in percent."""
    pairs = pairs_of(comparison)
    metrics = list(dict.fromkeys(change.metric for pair in pairs for change in pair.changes))
    same = [metric for metric in metrics if _is_unchanged_count(pairs, metric)]
    figures = [metric for metric in metrics if metric not in same]
    of_each = [[pair.by_metric.get(metric, Change(metric, None, None, None)) for metric in figures] for pair in pairs]
    if isinstance(comparison, Comparison):
        rows = [[change.metric, *cells(change)] for change in of_each[0]]
        headings: tuple[str, ...] = ("metric", "A", "B", "B - A", "%", "95 % interval")
    else:
        baseline = [shown_number(pairs[0].a.figures.get(metric)) for metric in figures]
        columns = [column for each in of_each for column in ([shown_number(one.b) for one in each], _changed(each))]
        rows = [list(row) for row in zip(figures, baseline, *columns, strict=True)]
        headings = ("metric", pairs[0].a.label, *(name for pair in pairs for name in (pair.b.label, "%")))
    return Tabled(headings, rows, _unchanged(pairs[0], same))


def _changed(changes: Sequence[Change]) -> list[str]:
    """Changes in percent, with a mark before those that are more than chance."""
    return [f"{_MARK} {_percent(change)}" if change.significant else _percent(change) for change in changes]


def _is_unchanged_count(pairs: Sequence[Comparison], metric: str) -> bool:
    """Whether it is a count or a share that is the same in all runs."""
    return not unit_of(metric) and all(
        (change := pair.by_metric.get(metric)) is not None and change.difference == 0 for pair in pairs
    )


def _unchanged(pair: Comparison, metrics: Sequence[str]) -> str:
    values = {metric: pair[metric].a for metric in metrics}
    parts = [f"{shown_number(value)} {metric}" for metric, value in values.items() if value]
    zeros = [metric for metric, value in values.items() if not value]
    parts += [f"0 {', '.join(zeros)}"] if zeros else []
    return f"Unchanged: {', '.join(parts)}." if parts else ""


def _notes(comparison: Comparison | Comparisons, made: Tabled) -> list[str]:
    starred = any(change.significant for pair in pairs_of(comparison) for change in pair.changes)
    return [*([made.unchanged] if made.unchanged else []), *([LEGEND] if starred else []), *comparison.notes]


def _side(side: Side) -> dict[str, Any]:
    return {"name": side.name, "verdict": side.verdict}


def _pair(comparison: Comparison) -> dict[str, Any]:
    return {
        "b": _side(comparison.b),
        "paired_requests": comparison.num_pairs,
        "notes": list(comparison.notes),
        "metrics": [_values(change) for change in comparison.changes],
    }


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
    interval = "" if change.interval is None else " to ".join(map(shown_number, change.interval))
    numbers = [shown_number(change.a), shown_number(change.b), shown_number(change.difference, "+")]
    return [*numbers, _percent(change), interval + (f" {_MARK}" if change.significant else "")]


def _percent(change: Change) -> str:
    return "–" if change.percent is None else f"{change.percent:+.2f}"


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
