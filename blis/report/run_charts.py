"""Charts of a run, as Vega-Lite; what they show comes from `blis.metrics`, and none grows with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blis._core.codes import RequestStatus
from blis.metrics.slo import DEFAULT_CLASS
from blis.metrics.timeline import Breakdown, Floats, Timeline
from blis.outcomes import Outcomes, instance_ids
from blis.report.charting import INK, SERIES, SOFT, Spec, opacity, sample, spec

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

#: More instances than this are shown as their mean and range, and more classes are not shown apart.
MOST_LINES = len(SERIES)
_STRIP_HEIGHT, _HEIGHT = 105, 220


def _most(values: pl.Series) -> float:
    return float(values.to_numpy().max(initial=0))


def _short(most: float) -> str:
    """How an axis up to ``most`` is labelled: 2,000 but 20k."""
    return "~s" if most >= 10_000 else ",~r"


def strip(found: Timeline) -> Spec:
    """Queue, batch, KV cache and tokens over time, one below the other, and an overview to zoom with."""
    import altair as alt

    panels = {
        "waiting": ("requests waiting", ",.1f"),
        "running": ("requests running", ",.1f"),
        "kv_share": ("KV cache, est.", ".1%"),
        "tokens_per_s": ("output tokens/s", ",.0f"),
    }
    if found.kv_share is None:
        del panels["kv_share"]
    frame = _timeline_frame(found, list(panels))
    window = alt.selection_interval(name="window", encodings=["x"])
    shown = alt.selection_point(name="shown", fields=["instance"], bind="legend")
    rows = []
    for place, (name, (title, form)) in enumerate(panels.items()):
        is_last = place == len(panels) - 1
        axis = alt.Axis(format="~s", title="simulated time, s") if is_last else alt.Axis(labels=False, title=None)
        x = alt.X("seconds:Q", scale=alt.Scale(domain=window, nice=False), axis=axis)
        rows.append(_panel(frame, name, title, form, x, shown))
    rows[0] = rows[0].add_params(shown)
    return spec(alt.vconcat(*rows, _overview(found, window), spacing=14).resolve_scale(color="shared", x="independent"))


def _timeline_frame(found: Timeline, names: Sequence[str]) -> pl.DataFrame:
    """A row per part and line; a line is an instance, or the mean of many, with the range of all."""
    import polars as pl

    count = len(found.waiting)
    edges_s = found.edges_us / 1e6
    times = {"seconds": found.middle_s, "left": edges_s[:-1], "right": edges_s[1:]}
    if count <= MOST_LINES:
        ids = instance_ids(count)
        return pl.concat(
            pl.DataFrame(
                times
                | {"instance": [ids[index]] * len(edges_s[1:])}
                | {name: getattr(found, name)[index] for name in names}
            )
            for index in range(count)
        )
    columns: dict[str, Any] = times | {"instance": [f"mean of {count} instances"] * len(edges_s[1:])}
    for name in names:
        values = getattr(found, name)
        columns |= {name: values.mean(0), f"{name}_low": values.min(0), f"{name}_high": values.max(0)}
    return pl.DataFrame(columns)


def _panel(frame: pl.DataFrame, name: str, title: str, form: str, x: Any, shown: Any) -> Any:
    """One measure over time; hovering shows it for every instance at that time."""
    import altair as alt

    names = frame["instance"].unique(maintain_order=True).to_list()
    axis_format = "%" if form.endswith("%") else _short(_most(frame[name]))
    y = alt.Y(f"{name}:Q", title=title, axis=alt.Axis(format=axis_format, tickCount=4), scale=alt.Scale(domainMin=0))
    colour = alt.Color(
        "instance:N",
        sort=None,
        scale=alt.Scale(domain=names, range=list(SERIES[: len(names)])),
        legend=alt.Legend() if len(names) > 1 else None,
    )
    left = x.copy()
    left.shorthand = "left:Q"
    layers = []
    if f"{name}_low" in frame.columns:
        low, high = (alt.Y(f"{name}_low:Q", title=title), alt.Y2(f"{name}_high:Q"))
        layers.append(alt.Chart().mark_area(opacity=0.22, color=SERIES[0], clip=True).encode(x, low, high))
    layers.append(
        alt.Chart()
        .mark_line(strokeWidth=1.6, clip=True, interpolate="monotone")
        .encode(x, y, colour, opacity=alt.condition(shown, alt.value(1), alt.value(0.08)))
    )
    tips = [alt.Tooltip("seconds:Q", title="time, s", format=",.2f")]
    fields = [f"{name}_low", f"{name}_high"] if f"{name}_low" in frame.columns else []
    tips += [alt.Tooltip(f"{text}:Q", title=text, format=form) for text in names]
    tips += [
        alt.Tooltip(f"{text}:Q", title=label, format=form)
        for text, label in zip(fields, ("least", "most"), strict=False)
    ]
    # the page draws the bar under the pointer (page.css); its tooltip has all lines
    layers.append(
        alt.Chart()
        .transform_pivot("instance", value=name, groupby=["seconds", "left", "right", *fields])
        .mark_bar(fill="var(--hover)", fillOpacity=0, clip=True)
        .encode(left, alt.X2("right:Q"), alt.YValue(0), alt.Y2Value("height"), tooltip=tips)
    )
    return alt.layer(*layers, data=frame).properties(height=_STRIP_HEIGHT, width=400)


def _overview(found: Timeline, window: Any) -> Any:
    """Requests in hand of all instances, small, to choose a window in."""
    import altair as alt
    import polars as pl

    in_hand = (found.waiting + found.running).sum(0)
    return (
        alt.Chart(pl.DataFrame({"seconds": found.middle_s, "in_hand": in_hand}))
        .mark_area(color=SOFT, opacity=0.35)
        .encode(
            alt.X("seconds:Q", title="drag here to zoom, double-click for all", scale=alt.Scale(nice=False)),
            alt.Y("in_hand:Q", title="in hand", axis=alt.Axis(tickCount=2, grid=False)),
        )
        .properties(height=38, width=400)
        .add_params(window)
    )


def parts_over_time(found: Breakdown) -> Spec:
    """Means of queueing, prefill and decode, stacked, by time of arrival."""
    import altair as alt
    import polars as pl

    edges_s = found.edges_us / 1e6
    times = {"left": edges_s[:-1], "right": edges_s[1:], "requests": found.requests}
    parts = {"queueing": found.queueing_ms, "prefill": found.prefill_ms, "decode": found.decode_ms}
    tops = np.cumsum(list(parts.values()), axis=0)
    frame = pl.concat(
        pl.DataFrame(times | {"ms": ms, "top": top, "bottom": top - ms}).with_columns(part=pl.lit(name))
        for (name, ms), top in zip(parts.items(), tops, strict=True)
    ).filter(pl.col("requests") > 0)
    shown = alt.selection_point(name="shown", fields=["part"], bind="legend")
    chart = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            alt.X("left:Q", title="arrival, s", scale=alt.Scale(nice=False), axis=alt.Axis(format="~s")),
            alt.X2("right:Q"),
            alt.Y("bottom:Q", title="mean, ms", axis=alt.Axis(format=_short(float(np.nanmax(tops))))),
            alt.Y2("top:Q"),
            alt.Color(
                "part:N", sort=None, scale=alt.Scale(domain=list(parts), range=[SERIES[1], SERIES[4], SERIES[0]])
            ),
            opacity=alt.condition(shown, alt.value(0.85), alt.value(0.1)),
            tooltip=[
                alt.Tooltip("left:Q", title="arrived from, s", format=",.2f"),
                alt.Tooltip("right:Q", title="to, s", format=",.2f"),
                alt.Tooltip("part:N", title="part"),
                alt.Tooltip("ms:Q", title="mean, ms", format=",.2f"),
                alt.Tooltip("requests:Q", title="requests", format=","),
            ],
        )
        .add_params(shown)
        .properties(height=_HEIGHT, width=400)
    )
    return spec(chart)


def curves(groups: Mapping[str, Floats], targets_ms: Mapping[str, float]) -> Spec:
    """Share of values that were no larger, a curve per group.

    Args:
        groups: quantiles in ms at even shares from 0 to 1, by name.
        targets_ms: lines to draw, by name of the group they are for.
    """
    import altair as alt
    import polars as pl

    frame = pl.concat(
        pl.DataFrame({"group": [name] * len(ms), "ms": ms, "share": np.linspace(0, 1, len(ms))})
        for name, ms in groups.items()
    )
    names = list(groups)
    shown = alt.selection_point(name="shown", fields=["group"], bind="legend")
    least, most = min(ms[0] for ms in groups.values()), max([_most(frame["ms"]), *targets_ms.values()])
    scale = alt.Scale(type="log", nice=False) if least > 0 and most > 20 * least else alt.Scale(nice=False, domainMin=0)
    colour = alt.Color(
        "group:N",
        sort=None,
        scale=alt.Scale(domain=names, range=list(SERIES[: len(names)])),
        legend=alt.Legend(columns=2) if len(names) > 1 else None,
    )
    faded = alt.condition(shown, alt.value(1), alt.value(0.1))
    tips = [
        *([alt.Tooltip("group:N", title="class")] if len(names) > 1 else []),
        alt.Tooltip("share:Q", title="share", format=".1%"),
        alt.Tooltip("ms:Q", title="at most, ms", format=",.2f"),
    ]
    x = alt.X("ms:Q", title="ms", scale=scale, axis=alt.Axis(format=_short(most), tickCount=5))
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
    scales = {field: _scale(frame[field].to_numpy()) for field in ("input", "ms")}
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
                axis=alt.Axis(format=_short(_most(frame["input"])), tickCount=6),
            ),
            alt.Y(
                "ms:Q", title=title, scale=scales["ms"], axis=alt.Axis(format=_short(_most(frame["ms"])), tickCount=5)
            ),
            colour,
            opacity=alt.condition(shown, alt.value(opacity(len(frame))), alt.value(0.03)),
            tooltip=tips,
        )
        .add_params(shown)
        .properties(height=_HEIGHT + 40, width=400)
    )
    return spec(chart)


def _scale(values: Floats) -> alt.Scale:
    """Logarithmic where values span much."""
    import altair as alt

    if len(values) and values.min() > 0 and values.max() > 20 * values.min():
        return alt.Scale(type="log", nice=False, padding=6)
    return alt.Scale(nice=True, zero=True)


def _class_names(outcomes: Outcomes, rows: Any) -> list[str]:
    given = outcomes.table.slo_class
    if given is None:
        return [DEFAULT_CLASS] * len(rows)
    names = (*given.names, DEFAULT_CLASS)
    return [names[code] for code in given.codes[rows].tolist()]


def balance(values: Sequence[float], title: str, form: str) -> Spec:
    """A bar per instance, and their mean."""
    import altair as alt
    import polars as pl

    frame = pl.DataFrame({"instance": list(range(len(values))), "value": list(values)})
    bars = (
        alt.Chart(frame)
        .mark_bar(color=SERIES[0])
        .encode(
            alt.X("instance:O", title="instance", axis=alt.Axis(labelAngle=0, domain=True)),
            alt.Y("value:Q", title=title, axis=alt.Axis(format=_short(max(values, default=0)))),
            tooltip=[
                alt.Tooltip("instance:O", title="instance"),
                alt.Tooltip("value:Q", title=title, format=form),
            ],
        )
    )
    mean = alt.Chart().mark_rule(color=INK, strokeDash=[5, 4]).encode(alt.Y("mean(value):Q"))
    return spec(alt.layer(bars, mean, data=frame).properties(height=170, width=400))


def events(kinds: Mapping[str, Floats], edges_us: Floats) -> Spec:
    """When things happened: a row per kind, circles by how often in each part of the time."""
    import altair as alt
    import polars as pl

    middle_s = (edges_us[1:] + edges_us[:-1]) / 2e6
    frame = pl.concat(
        pl.DataFrame({"seconds": middle_s, "kind": [name] * len(middle_s), "count": counts})
        for name, counts in kinds.items()
    ).filter(pl.col("count") > 0)
    end_s = float(edges_us[-1]) / 1e6
    chart = (
        alt.Chart(frame)
        .mark_circle(color=SERIES[1], opacity=0.6)
        .encode(
            alt.X(
                "seconds:Q",
                title="simulated time, s",
                scale=alt.Scale(domain=[0, end_s], nice=False),
                axis=alt.Axis(format="~s"),
            ),
            alt.Y("kind:N", title=None, sort=list(kinds), axis=alt.Axis(labelLimit=130, minExtent=38)),
            alt.Size("count:Q", scale=alt.Scale(range=[12, 260]), legend=None),
            tooltip=[
                alt.Tooltip("kind:N", title="what"),
                alt.Tooltip("seconds:Q", title="around, s", format=",.2f"),
                alt.Tooltip("count:Q", title="requests", format=","),
            ],
        )
        .properties(height=26 * len(kinds) + 6, width=400)
    )
    return spec(chart)
