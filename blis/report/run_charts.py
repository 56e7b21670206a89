"""Charts of a run over time and across instances, as Vega-Lite; none grows with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blis.outcomes.metrics.timeline import Breakdown, Floats, Load, Timeline
from blis.outcomes.outcomes import instance_ids
from blis.report.charting import INK, MOST_LINES, SERIES, SOFT, Spec, short_format, spec

if TYPE_CHECKING:
    import polars as pl

_STRIP_HEIGHT, _HEIGHT = 105, 220


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
    axis_format = "%" if form.endswith("%") else short_format(frame[name])
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


def load(found: Load) -> Spec:
    """Arrivals per second, and the 95th percentiles of what those who arrived met, one below the other."""
    import altair as alt
    import polars as pl

    edges_s = found.edges_us / 1e6
    panels = {
        "arrivals_per_s": ("arrivals/s", ",.2f", SERIES[4]),
        "ttft_p95_ms": ("TTFT p95, ms", ",.1f", SERIES[0]),
        "itl_p95_ms": ("ITL p95, ms", ",.2f", SERIES[1]),
    }
    times = {"left": edges_s[:-1], "right": edges_s[1:]}
    frame = pl.DataFrame(times | {name: getattr(found, name) for name in panels}).with_columns(
        pl.col("ttft_p95_ms", "itl_p95_ms").fill_nan(None), seconds=(pl.col("left") + pl.col("right")) / 2
    )
    tips = [
        alt.Tooltip("left:Q", title="arrived from, s", format=",.2f"),
        alt.Tooltip("right:Q", title="to, s", format=",.2f"),
        *(alt.Tooltip(f"{name}:Q", title=title, format=form) for name, (title, form, _) in panels.items()),
    ]
    rows = []
    for name, (title, _, colour) in panels.items():
        is_last = name == list(panels)[-1]
        axis = alt.Axis(format="~s", title="arrival, s") if is_last else alt.Axis(labels=False, title=None)
        x, left = (
            alt.X(f"{field}:Q", scale=alt.Scale(domain=[0, float(edges_s[-1])], nice=False), axis=axis)
            for field in ("seconds", "left")
        )
        y_axis = alt.Axis(format=short_format(getattr(found, name)[~np.isnan(getattr(found, name))]), tickCount=4)
        y = alt.Y(f"{name}:Q", title=title, axis=y_axis, scale=alt.Scale(domainMin=0))
        line = alt.Chart().mark_line(strokeWidth=1.6, color=colour, point={"size": 12, "color": colour}).encode(x, y)
        hover = (
            alt.Chart()
            .mark_bar(fill="var(--hover)", fillOpacity=0)
            .encode(left, alt.X2("right:Q"), alt.YValue(0), alt.Y2Value("height"), tooltip=tips)
        )
        rows.append(alt.layer(line, hover, data=frame).properties(height=_STRIP_HEIGHT, width=400))
    return spec(alt.vconcat(*rows, spacing=14))


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
            alt.Y("bottom:Q", title="mean, ms", axis=alt.Axis(format=short_format(tops))),
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
            alt.Y("value:Q", title=title, axis=alt.Axis(format=short_format(values))),
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
