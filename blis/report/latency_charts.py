"""Charts of a run's latencies, as Vega-Lite: distributions, and points against input length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from blis._core.codes import RequestStatus
from blis.outcomes.metrics.slo import DEFAULT_CLASS
from blis.outcomes.metrics.timeline import Floats
from blis.outcomes.outcomes import Outcomes
from blis.report.charting import INK, MOST_LINES, SERIES, Spec, opacity, sample, short_format, spec
from blis.report.figure_charts import scale_for

if TYPE_CHECKING:
    pass

_HEIGHT = 220


def curves(groups: Mapping[str, Floats], targets_ms: Mapping[str, float], what: str = "class") -> Spec:
    """Share of values that were no larger, a curve per group.

    Args:
        groups: quantiles in ms at even shares from 0 to 1, by name.
        targets_ms: lines to draw, by name of the group they are for.
        what: a group is.
    """
    import altair as alt
    import polars as pl

    frame = pl.concat(
        pl.DataFrame({"group": [name] * len(ms), "ms": ms, "share": np.linspace(0, 1, len(ms))})
        for name, ms in groups.items()
    )
    names = list(groups)
    shown = alt.selection_point(name="shown", fields=["group"], bind="legend")
    least, most = min(ms[0] for ms in groups.values()), max([float(frame["ms"].to_numpy().max()), *targets_ms.values()])
    scale = alt.Scale(type="log", nice=False) if least > 0 and most > 20 * least else alt.Scale(nice=False, domainMin=0)
    colour = alt.Color(
        "group:N",
        sort=None,
        scale=alt.Scale(domain=names, range=list(SERIES[: len(names)])),
        legend=alt.Legend(columns=2) if len(names) > 1 else None,
    )
    faded = alt.condition(shown, alt.value(1), alt.value(0.1))
    tips = [
        *([alt.Tooltip("group:N", title=what)] if len(names) > 1 else []),
        alt.Tooltip("share:Q", title="share", format=".1%"),
        alt.Tooltip("ms:Q", title="at most, ms", format=",.2f"),
    ]
    x = alt.X("ms:Q", title="ms", scale=scale, axis=alt.Axis(format=short_format([most]), tickCount=5))
    y = alt.Y("share:Q", title=None, axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 0.9, 1]))
    base = alt.Chart(frame).encode(x, y, colour, opacity=faded)
    layers: list[Any] = [
        base.mark_line(strokeWidth=2, clip=True).encode(order="share:Q").add_params(shown),
        base.mark_point(filled=True, size=130).encode(opacity=alt.value(0), tooltip=tips),
    ]
    if targets_ms:
        known = set(targets_ms) <= set(names)
        layers.append(
            alt.Chart(pl.DataFrame({"ms": list(targets_ms.values()), "group": list(targets_ms)}))
            .mark_rule(strokeDash=[5, 4], strokeWidth=1.6)
            .encode(
                x="ms:Q",
                color=colour if known else alt.value(INK),
                opacity=faded if known else alt.value(1),
                tooltip=[alt.Tooltip("group:N", title="target of"), alt.Tooltip("ms:Q", title="ms", format=",.0f")],
            )
        )
    return spec(alt.layer(*layers).properties(height=_HEIGHT, width=400))


def scatter(outcomes: Outcomes, metric: str, title: str) -> Spec:
    """A duration of completed requests against their input, at most `MOST_POINTS` of them, spread over the table."""
    import altair as alt
    import polars as pl

    rows = np.flatnonzero(outcomes.result.status == RequestStatus.COMPLETED)
    rows = rows[sample(len(rows))] if len(rows) else rows
    table = outcomes.table
    frame = pl.DataFrame(
        {
            "request": table.numbers[rows],
            "input": table.input_tokens[rows],
            "cached": outcomes.result.cached_tokens[rows],
            "output": outcomes.result.produced_tokens[rows],
            "seconds": outcomes.result.arrival_us[rows] / 1e6,
            "ms": getattr(outcomes, f"{metric}_us")(rows) / 1000,
            "group": _class_names(outcomes, rows),
        }
    )
    names = sorted(set(frame["group"]))
    has_classes = 1 < len(names) < MOST_LINES
    shown = alt.selection_point(name="shown", fields=["group"], bind="legend")
    colour: Any = alt.ColorValue(SERIES[0])
    if has_classes:
        colour = alt.Color("group:N", scale=alt.Scale(domain=names, range=list(SERIES[1 : len(names) + 1])))
    scales = {field: scale_for(frame[field].to_numpy(), padding=6, zero=True) for field in ("input", "ms")}
    tips = [
        alt.Tooltip("request:Q", title="request", format="d"),
        *([alt.Tooltip("group:N", title="class")] if has_classes else []),
        alt.Tooltip("seconds:Q", title="arrived, s", format=",.2f"),
        alt.Tooltip("input:Q", title="input tokens", format=","),
        alt.Tooltip("cached:Q", title="of these cached", format=","),
        alt.Tooltip("output:Q", title="output tokens", format=","),
        alt.Tooltip("ms:Q", title=title, format=",.2f"),
    ]
    chart = (
        alt.Chart(frame)
        .mark_circle(size=26, clip=True)
        .encode(
            alt.X(
                "input:Q",
                title="input tokens",
                scale=scales["input"],
                axis=alt.Axis(format=short_format(frame["input"]), tickCount=6),
            ),
            alt.Y(
                "ms:Q", title=title, scale=scales["ms"], axis=alt.Axis(format=short_format(frame["ms"]), tickCount=5)
            ),
            colour,
            opacity=alt.condition(shown, alt.value(opacity(len(frame))), alt.value(0.03)),
            tooltip=tips,
        )
        .add_params(shown)
        .properties(height=_HEIGHT + 40, width=400)
    )
    return spec(chart)


def _class_names(outcomes: Outcomes, rows: Any) -> list[str]:
    given = outcomes.table.slo_class
    if given is None:
        return [DEFAULT_CLASS] * len(rows)
    names = (*given.names, DEFAULT_CLASS)
    return [names[code] for code in given.codes[rows].tolist()]
