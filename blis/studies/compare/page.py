"""The page of a comparison: what changed, by how much, and whether by chance (docs/report.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from blis.report.charting import GREY, INK, ORANGE, Spec, quantile_shares, spec
from blis.report.configuration import command_lines
from blis.report.latency_charts import curves
from blis.report.page import Chart, Finding, Findings, Level, Page, Section, Table, Tile, Tiles
from blis.studies.compare.comparison import Change, Comparison
from blis.studies.compare.conditions import Failure, unit_of
from blis.studies.compare.report import LEGEND, cells
from blis.studies.compare.sides import DURATIONS

_TITLES = {
    "ttft": "Time to first token",
    "e2e": "End-to-end time",
    "tpot": "Time per output token",
    "scheduling_delay": "Scheduling delay",
}
#: Figures that stand on top, if both runs have them.
_HEADLINES = ("ttft_p99_ms", "tpot_p99_ms", "e2e_p99_ms", "responses_per_sec", "tokens_per_sec")
_KINDS = {"certain": ORANGE, "perhaps by chance": GREY}


def page_of(comparison: Comparison, command: Sequence[str] = (), *, failed: Sequence[Failure] = ()) -> Page:
    """Put the page together.

    Args:
        comparison: what was found.
        command: arguments of ``blis`` that make the same; empty: not known.
        failed: conditions that hold (`blis.studies.compare.conditions.failures`).
    """
    a, b = comparison.a, comparison.b
    warnings = [Finding("Failed", failure.reason) for failure in failed]
    sections = [
        Section("", [Tiles(list(_tiles(comparison)))]),
        Section("What stands out", [Findings(warnings)] if warnings else []),
        Section("Changes", list(_changes(comparison))),
        Section("Both runs", list(_distributions(comparison))),
        Section("All figures", [_table(comparison)]),
        Section("Command", command_lines(command)),
    ]
    return Page(
        "Two runs side by side",
        _verdict(comparison, failed),
        [section for section in sections if section.parts],
        [
            *(f"{name}: {side.name} ({side.verdict or 'steady state unknown'})" for name, side in (("A", a), ("B", b))),
            *comparison.notes,
        ],
    )


def _verdict(comparison: Comparison, failed: Sequence[Failure]) -> str:
    judged = [change for change in comparison.changes if change.significant is not None]
    certain = sum(bool(change.significant) for change in judged)
    parts = [f"{len(failed)} condition{'s' if len(failed) > 1 else ''} failed"] if failed else []
    if judged:
        parts.append(f"{certain} of {len(judged)} latency figures changed by more than chance allows")
    else:
        parts.append("no intervals: whether changes are chance is not known")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def _tiles(comparison: Comparison) -> Iterator[Tile]:
    for metric in _HEADLINES:
        change = comparison.by_metric.get(metric)
        if change is None or change.percent is None:
            continue
        _, a, b, _, percent, interval = (metric, *cells(change))
        note = f"{a} to {b} {unit_of(metric)}" + (f"; change {interval}" if interval else "")
        worse = (change.difference or 0) > 0 if unit_of(metric) == "ms" else (change.difference or 0) < 0
        level: Level = "" if not change.significant else "bad" if worse else "good"
        yield Tile(metric, [("", f"{percent} %")], note, level)


def _changes(comparison: Comparison) -> Iterator[Chart]:
    drawn = [change for change in comparison.changes if change.interval is not None and change.percent is not None]
    if drawn:
        yield Chart(
            "forest",
            "Change from A to B, percent of A",
            _forest(drawn),
            "Bars are 95 % intervals of the change; where one leaves 0 out, the change is more than chance. Those "
            "without an end are left out: the runs are too short to bound them.",
        )


def _forest(changes: Sequence[Change]) -> Spec:
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
    tips += [alt.Tooltip(f"{name}:Q", title=name.upper(), format=",.4~g") for name in ("a", "b")]
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


def _distributions(comparison: Comparison) -> Iterator[Chart]:
    a, b = comparison.a.requests, comparison.b.requests
    if a is None or b is None:
        return
    for name in DURATIONS:
        sides = {}
        for label, requests in (("A", a), ("B", b)):
            values = requests.durations_ms[name]
            values = values[~np.isnan(values)]
            if len(values):
                sides[label] = np.quantile(values, quantile_shares(len(values)))
        if len(sides) == 2:
            yield Chart(f"cdf-{name.replace('_', '-')}", _TITLES[name], curves(sides, {}, what="run"), width="half")


def _table(comparison: Comparison) -> Table:
    heads = ("figure", "A", "B", "difference", "%", "95 % interval of the difference")
    return Table(heads, [(change.metric, *cells(change)) for change in comparison.changes], note=LEGEND)
