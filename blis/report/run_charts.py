"""Charts of a run over time and across instances, as Vega-Lite; none grows with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from blis.outcomes.metrics.timeline import Breakdown, Floats, Load, Timeline
from blis.outcomes.outcomes import instance_ids
from blis.report.charting import INK, MOST_LINES, SERIES, SOFT, Spec, short_format
from blis.report.vega import (
    FULL_HEIGHT,
    HOVER,
    WIDTH,
    chosen_in_legend,
    colour,
    datasets,
    drawn,
    faded,
    field,
    named,
    rows,
    tip,
)

_STRIP_HEIGHT, _HEIGHT = 105, 220
_PANELS = {
    "waiting": ("requests waiting", ",.1f"),
    "running": ("requests running", ",.1f"),
    "kv_share": ("KV cache, est.", ".1%"),
    "tokens_per_s": ("output tokens/s", ",.0f"),
}


def strip(found: Timeline) -> Spec:
    """Queue, batch, KV cache and tokens over time, one below the other, and an overview to zoom with."""
    names = [name for name in _PANELS if getattr(found, name) is not None]
    columns = _timeline_columns(found, names)
    panels = [_panel(columns, name, is_first=name == names[0], is_last=name == names[-1]) for name in names]
    in_hand = rows({"seconds": found.middle_s, "in_hand": (found.waiting + found.running).sum(0)})
    window = {"name": "window", "select": {"type": "interval", "encodings": ["x"]}, "views": ["overview"]}
    return {
        "vconcat": [*panels, _overview()],
        "datasets": datasets(timeline=rows(columns), overview=in_hand),
        "params": [chosen_in_legend("instance", ["first"]), window],
        "resolve": {"scale": {"color": "shared", "x": "independent"}},
        "spacing": 14,
    }


def _timeline_columns(found: Timeline, names: Sequence[str]) -> dict[str, Any]:
    """A value per part and line; a line is an instance, or the mean of many, with the range of all."""
    count, parts = len(found.waiting), len(found.middle_s)
    edges_s = found.edges_us / 1e6
    lines = instance_ids(count) if count <= MOST_LINES else [f"mean of {count} instances"]
    times = {"seconds": found.middle_s, "left": edges_s[:-1], "right": edges_s[1:]}
    columns: dict[str, Any] = {name: np.tile(values, len(lines)) for name, values in times.items()}
    columns["instance"] = [line for line in lines for _ in range(parts)]
    for name in names:
        values = getattr(found, name)
        if count <= MOST_LINES:
            columns[name] = values.ravel()
        else:
            columns |= {name: values.mean(0), f"{name}_low": values.min(0), f"{name}_high": values.max(0)}
    return columns


def _panel(columns: Mapping[str, Any], name: str, *, is_first: bool, is_last: bool) -> Spec:
    """One measure over time; hovering shows it for every instance at that time."""
    title, form = _PANELS[name]
    lines = list(dict.fromkeys(columns["instance"]))
    axis = {"format": "~s", "title": "simulated time, s"} if is_last else {"labels": False, "title": None}
    x, left = (
        field(f"{side}:Q", scale={"domain": {"param": "window"}, "nice": False}, axis=axis)
        for side in ("seconds", "left")
    )
    axis_format = "%" if form.endswith("%") else short_format(columns[name])
    y = field(f"{name}:Q", title=title, axis={"format": axis_format, "tickCount": 4}, scale={"domainMin": 0})
    legend: Spec | None = {} if len(lines) > 1 else None
    ends = {"least": f"{name}_low", "most": f"{name}_high"} if f"{name}_low" in columns else {}
    tips = [
        tip("seconds:Q", "time, s", ",.2f"),
        *(tip(f"{line}:Q", line, form) for line in lines),
        *(tip(f"{column}:Q", label, form) for label, column in ends.items()),
    ]
    layers: list[Spec] = [
        {
            "mark": {"type": "line", "strokeWidth": 1.6, "clip": True, "interpolate": "monotone"},
            "encoding": {
                "x": x,
                "y": y,
                "color": colour("instance:N", lines, sort=None, legend=legend),
                "opacity": faded(1, 0.08),
            },
        },
        {
            "mark": HOVER | {"clip": True},
            "transform": [
                {"pivot": "instance", "value": name, "groupby": ["seconds", "left", "right", *ends.values()]}
            ],
            "encoding": {"x": left, **FULL_HEIGHT, "tooltip": tips},
        },
    ]
    if ends:
        low, high = ends.values()
        between = {"x": x, "y": field(f"{low}:Q", title=title), "y2": {"field": high}}
        layers.insert(
            0, {"mark": {"type": "area", "opacity": 0.22, "color": SERIES[0], "clip": True}, "encoding": between}
        )
    if is_first:
        layers[0]["name"] = "first"
    return {"layer": layers, "data": named("timeline"), "height": _STRIP_HEIGHT, "width": WIDTH}


def _overview() -> Spec:
    """Requests in hand of all instances, small, to choose a window in."""
    return {
        "name": "overview",
        "data": named("overview"),
        "mark": {"type": "area", "color": SOFT, "opacity": 0.35},
        "encoding": {
            "x": field("seconds:Q", title="drag here to zoom, double-click for all", scale={"nice": False}),
            "y": field("in_hand:Q", title="in hand", axis={"tickCount": 2, "grid": False}),
        },
        "height": 38,
        "width": WIDTH,
    }


def load(found: Load) -> Spec:
    """Arrivals per second, and the 95th percentiles of what those who arrived met, one below the other."""
    edges_s = found.edges_us / 1e6
    panels = {
        "arrivals_per_s": ("arrivals/s", ",.2f", SERIES[4]),
        "ttft_p95_ms": ("TTFT p95, ms", ",.1f", SERIES[0]),
        "itl_p95_ms": ("ITL p95, ms", ",.2f", SERIES[1]),
    }
    figures = {name: getattr(found, name) for name in panels}
    data = rows({"left": edges_s[:-1], "right": edges_s[1:], **figures, "seconds": (edges_s[:-1] + edges_s[1:]) / 2})
    tips = [
        tip("left:Q", "arrived from, s", ",.2f"),
        tip("right:Q", "to, s", ",.2f"),
        *(tip(f"{name}:Q", title, form) for name, (title, form, _) in panels.items()),
    ]
    charts = []
    for name, (title, _, line_colour) in panels.items():
        is_last = name == list(panels)[-1]
        axis = {"format": "~s", "title": "arrival, s"} if is_last else {"labels": False, "title": None}
        x, left = (
            field(f"{side}:Q", scale={"domain": [0, float(edges_s[-1])], "nice": False}, axis=axis)
            for side in ("seconds", "left")
        )
        y_axis = {"format": short_format(figures[name][~np.isnan(figures[name])]), "tickCount": 4}
        point = {"size": 12, "color": line_colour}
        line = {
            "mark": {"type": "line", "strokeWidth": 1.6, "color": line_colour, "point": point},
            "encoding": {"x": x, "y": field(f"{name}:Q", title=title, axis=y_axis, scale={"domainMin": 0})},
        }
        hover = {"mark": HOVER, "encoding": {"x": left, **FULL_HEIGHT, "tooltip": tips}}
        charts.append({"layer": [line, hover], "height": _STRIP_HEIGHT, "width": WIDTH})
    return {"vconcat": charts, "data": named("load"), "datasets": datasets(load=data), "spacing": 14}


def parts_over_time(found: Breakdown) -> Spec:
    """Means of queueing, prefill and decode, stacked, by time of arrival."""
    edges_s = found.edges_us / 1e6
    has_any = found.requests > 0
    times = {"left": edges_s[:-1], "right": edges_s[1:], "requests": found.requests}
    parts = {"queueing": found.queueing_ms, "prefill": found.prefill_ms, "decode": found.decode_ms}
    tops = np.cumsum(list(parts.values()), axis=0)
    data = [
        row | {"part": name}
        for (name, ms), top in zip(parts.items(), tops, strict=True)
        for row in rows({key: column[has_any] for key, column in (times | _heights(ms, top)).items()})
    ]
    chart = {
        "mark": {"type": "rect"},
        "encoding": {
            "x": field("left:Q", title="arrival, s", scale={"nice": False}, axis={"format": "~s"}),
            "x2": {"field": "right"},
            "y": field("bottom:Q", title="mean, ms", axis={"format": short_format(tops)}),
            "y2": {"field": "top"},
            "color": colour("part:N", list(parts), [SERIES[1], SERIES[4], SERIES[0]], sort=None),
            "opacity": faded(0.85, 0.1),
            "tooltip": [
                tip("left:Q", "arrived from, s", ",.2f"),
                tip("right:Q", "to, s", ",.2f"),
                tip("part:N", "part"),
                tip("ms:Q", "mean, ms", ",.2f"),
                tip("requests:Q", "requests", ","),
            ],
        },
        "params": [chosen_in_legend("part")],
    }
    return drawn(data, chart, _HEIGHT)


def _heights(ms: Floats, top: Floats) -> dict[str, Floats]:
    return {"ms": ms, "top": top, "bottom": top - ms}


def balance(values: Sequence[float], title: str, form: str) -> Spec:
    """A bar per instance, and their mean."""
    bars = {
        "mark": {"type": "bar", "color": SERIES[0]},
        "encoding": {
            "x": field("instance:O", title="instance", axis={"labelAngle": 0, "domain": True}),
            "y": field("value:Q", title=title, axis={"format": short_format(values)}),
            "tooltip": [tip("instance:O", "instance"), tip("value:Q", title, form)],
        },
    }
    mean = {
        "mark": {"type": "rule", "color": INK, "strokeDash": [5, 4]},
        "encoding": {"y": field("value:Q", aggregate="mean")},
    }
    return drawn(rows({"instance": range(len(values)), "value": values}), {"layer": [bars, mean]}, 170)


def events(kinds: Mapping[str, Floats], edges_us: Floats) -> Spec:
    """When things happened: a row per kind, circles by how often in each part of the time."""
    middle_s = (edges_us[1:] + edges_us[:-1]) / 2e6
    data = [
        {"seconds": seconds, "kind": name, "count": count}
        for name, counts in kinds.items()
        for seconds, count in zip(middle_s.tolist(), counts.tolist(), strict=True)
        if count > 0
    ]
    scale = {"domain": [0, float(edges_us[-1]) / 1e6], "nice": False}
    chart = {
        "mark": {"type": "circle", "color": SERIES[1], "opacity": 0.6},
        "encoding": {
            "x": field("seconds:Q", title="simulated time, s", scale=scale, axis={"format": "~s"}),
            "y": field("kind:N", title=None, sort=list(kinds), axis={"labelLimit": 130, "minExtent": 38}),
            "size": field("count:Q", scale={"range": [12, 260]}, legend=None),
            "tooltip": [
                tip("kind:N", "what"),
                tip("seconds:Q", "around, s", ",.2f"),
                tip("count:Q", "requests", ","),
            ],
        },
    }
    return drawn(data, chart, 26 * len(kinds) + 6)
