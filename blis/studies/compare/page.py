"""The page of a comparison: what changed, by how much, and whether by chance (docs/report.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from blis.report.charting import GREY, INK, MOST_LINES, ORANGE, Spec, quantile_shares, spec
from blis.report.configuration import command_lines
from blis.report.latency_charts import curves
from blis.report.page import Chart, Finding, Findings, Level, Page, Section, Table, Text, Tile, Tiles
from blis.studies.compare.comparison import Change, Comparison, Comparisons
from blis.studies.compare.conditions import Failure, unit_of
from blis.studies.compare.report import LEGEND, cells, pairs_of, shown, sides
from blis.studies.compare.sides import DURATIONS, Side
from blis.studies.compare.targets import GOODPUT

_TITLES = {
    "ttft": "Time to first token",
    "e2e": "End-to-end time",
    "tpot": "Time per output token",
    "scheduling_delay": "Scheduling delay",
}
#: Figures that stand on top, if both runs have them.
_HEADLINES = ("ttft_p99_ms", "tpot_p99_ms", "e2e_p99_ms", "responses_per_sec", "tokens_per_sec", GOODPUT)
_KINDS = {"certain": ORANGE, "perhaps by chance": GREY}


def page_of(
    comparison: Comparison | Comparisons, command: Sequence[str] = (), *, failed: Sequence[Failure] = ()
) -> Page:
    """Put the page together.

    Args:
        comparison: what was found.
        command: arguments of ``blis`` that make the same; empty: not known.
        failed: conditions that hold (`blis.studies.compare.conditions.failures`).
    """
    runs, pairs = sides(comparison), pairs_of(comparison)
    warnings = [Finding("Failed", failure.reason) for failure in failed]
    sections = [
        Section("", [Tiles(list(_tiles(pairs)))]),
        Section("What stands out", [Findings(warnings)] if warnings else []),
        Section("Changes", [chart for pair in pairs for chart in _changes(pair, is_only=len(pairs) == 1)]),
        Section("Distributions", list(_distributions(runs))),
        Section("All figures", list(_table(comparison))),
        Section("Command", command_lines(command)),
    ]
    return Page(
        f"{'Two' if len(runs) == 2 else len(runs)} runs side by side",
        _verdict(pairs, failed),
        [section for section in sections if section.parts],
        [
            *(f"{side.label}: {side.name} ({side.verdict or 'steady state unknown'})" for side in runs),
            *comparison.notes,
        ],
    )


def _verdict(pairs: Sequence[Comparison], failed: Sequence[Failure]) -> str:
    parts = [f"{len(failed)} condition{'s' if len(failed) > 1 else ''} failed"] if failed else []
    parts += [_judged(pair) + (f" from A to {pair.b.label}" if len(pairs) > 1 else "") for pair in pairs]
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def _judged(pair: Comparison) -> str:
    judged = [change for change in pair.changes if change.significant is not None]
    if not judged:
        return "no intervals: whether changes are chance is not known"
    certain = sum(bool(change.significant) for change in judged)
    return f"{certain} of {len(judged)} latency figures changed by more than chance allows"


def _tiles(pairs: Sequence[Comparison]) -> Iterator[Tile]:
    for metric in _HEADLINES:
        changes = {
            pair.b.label: change
            for pair in pairs
            if (change := pair.by_metric.get(metric)) is not None and change.percent is not None
        }
        if len(pairs) == 1:
            yield from (_tile(metric, change) for change in changes.values())
        elif changes:
            figures = [(label, f"{cells(change)[3]} %") for label, change in changes.items()]
            a = cells(next(iter(changes.values())))[0]
            yield Tile(metric, figures, f"{a} {unit_of(metric)} in A")


def _tile(metric: str, change: Change) -> Tile:
    a, b, _, percent, interval = cells(change)
    note = f"{a} to {b} {unit_of(metric)}" + (f"; change {interval}" if interval else "")
    worse = (change.difference or 0) > 0 if unit_of(metric) == "ms" else (change.difference or 0) < 0
    level: Level = "" if not change.significant else "bad" if worse else "good"
    return Tile(metric, [("", f"{percent} %")], note, level)


def _changes(pair: Comparison, *, is_only: bool) -> Iterator[Chart]:
    drawn = [change for change in pair.changes if change.interval is not None and change.percent is not None]
    if drawn:
        label = pair.b.label
        yield Chart(
            "forest" if is_only else f"forest-{label.lower()}",
            f"Change from A to {label}, percent of A",
            _forest(drawn, label),
            "Bars are 95 % intervals of the change; where one leaves 0 out, the change is more than chance. Those "
            "without an end are left out: the runs are too short to bound them.",
        )


def _forest(changes: Sequence[Change], label: str) -> Spec:
    import altair as alt
    import polars as pl

    rows = []
    for change in changes:
        assert change.interval is not None
        ends = sorted(100 * end / (change.a or math.nan) for end in change.interval)
        low, high = ends if all(map(math.isfinite, ends)) else (None, None)
        rows.append(
            {
                "metric": change.metric,
                "percent": change.percent,
                "low": low,
                "high": high,
                "a": change.a,
                "b": change.b,
                "kind": list(_KINDS)[not change.significant],
            }
        )
    frame = pl.DataFrame(rows, schema_overrides={"low": pl.Float64, "high": pl.Float64})
    kinds = [kind for kind in _KINDS if kind in set(frame["kind"])]
    legend = alt.Legend() if len(kinds) > 1 else None
    scale = alt.Scale(domain=kinds, range=[_KINDS[kind] for kind in kinds])
    colour = alt.Color("kind:N", sort=None, scale=scale, legend=legend)
    y = alt.Y("metric:N", sort=None, title=None, axis=alt.Axis(labelLimit=180, minExtent=150))
    tips = [alt.Tooltip("metric:N", title="figure")]
    tips += [alt.Tooltip(f"{name}:Q", title=of, format=",.4~g") for name, of in (("a", "A"), ("b", label))]
    tips += [
        alt.Tooltip(f"{name}:Q", title=title, format="+,.2f")
        for name, title in (("percent", "change, %"), ("low", "95 %, from"), ("high", "to"))
    ]
    base = alt.Chart(frame)
    x = alt.X("percent:Q", title="change, %", scale=alt.Scale(zero=True, nice=True, padding=10))
    layers = [
        alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(color=INK, strokeWidth=1).encode(alt.X("zero:Q")),
        base.transform_filter("datum.low !== null")
        .mark_rule(strokeWidth=4, opacity=0.45)
        .encode(alt.X("low:Q"), alt.X2("high:Q"), y, colour, tooltip=tips),
        base.mark_point(filled=True, size=70, opacity=1).encode(x, y, colour, tooltip=tips),
    ]
    return spec(alt.layer(*layers).properties(height=22 * len(rows) + 10, width=400))


def _distributions(runs: Sequence[Side]) -> Iterator[Chart]:
    known = {side.label: side.requests for side in runs[:MOST_LINES] if side.requests is not None}
    for name in DURATIONS:
        curves_of = {}
        for label, requests in known.items():
            values = requests.durations_ms[name]
            values = values[~np.isnan(values)]
            if len(values):
                curves_of[label] = np.quantile(values, quantile_shares(len(values)))
        if len(curves_of) > 1:
            yield Chart(f"cdf-{name.replace('_', '-')}", _TITLES[name], curves(curves_of, {}, what="run"), width="half")


def _table(comparison: Comparison | Comparisons) -> Iterator[Table | Text]:
    made = shown(comparison)
    yield Table(made.headings, made.rows, note=LEGEND, is_sortable=True)
    if made.unchanged:
        yield Text(made.unchanged)
