"""Charts of a run's latencies, as Vega-Lite: distributions, and points against input length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from blis._core.codes import RequestStatus
from blis.outcomes.metrics.slo import DEFAULT_CLASS
from blis.outcomes.metrics.timeline import Floats
from blis.outcomes.outcomes import Outcomes
from blis.report.charting import INK, MOST_LINES, SERIES, Spec, opacity, sample, short_format
from blis.report.figure_charts import is_wide
from blis.report.vega import chosen_in_legend, colour, drawn, faded, field, named, rows, tip

_HEIGHT = 220


def curves(groups: Mapping[str, Floats], targets_ms: Mapping[str, float], what: str = "class") -> Spec:
    """Share of values that were no larger, a curve per group.

    Args:
        groups: quantiles in ms at even shares from 0 to 1, by name.
        targets_ms: lines to draw, by name of the group they are for.
        what: a group is.
    """
    data = [
        {"group": name, "ms": value, "share": share}
        for name, ms in groups.items()
        for value, share in zip(ms.tolist(), np.linspace(0, 1, len(ms)).tolist(), strict=True)
    ]
    names = list(groups)
    least, most = (
        min(ms[0] for ms in groups.values()),
        max([*(float(ms.max()) for ms in groups.values()), *targets_ms.values()]),
    )
    is_log = least > 0 and most > 20 * least
    scale = {"type": "log", "nice": False} if is_log else {"nice": False, "domainMin": 0}
    colours = colour("group:N", names, sort=None, legend={"columns": 2} if len(names) > 1 else None)
    x = field("ms:Q", title="ms", scale=scale, axis={"format": short_format([most]), "tickCount": 5})
    y = field("share:Q", title="share of requests", axis={"format": "%", "values": [0, 0.25, 0.5, 0.75, 0.9, 1]})
    base = {"x": x, "y": y, "color": colours}
    tips = [
        *([tip("group:N", what)] if len(names) > 1 else []),
        tip("share:Q", "share", ".1%"),
        tip("ms:Q", "at most, ms", ",.2f"),
    ]
    layers: list[Spec] = [
        {
            "name": "curves",
            "mark": {"type": "line", "strokeWidth": 2, "clip": True},
            "encoding": base | {"opacity": faded(1, 0.1), "order": field("share:Q")},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 130},
            "encoding": base | {"opacity": {"value": 0}, "tooltip": tips},
        },
    ]
    chart: Spec = {"layer": layers, "params": [chosen_in_legend("group", ["curves"])]}
    if not targets_ms:
        return drawn(data, chart, _HEIGHT)
    layers.append(_targets(colours if set(targets_ms) <= set(names) else None))
    targets = rows({"ms": targets_ms.values(), "group": targets_ms})
    return drawn(data, chart, _HEIGHT, targets=targets)


def _targets(colours: Spec | None) -> Spec:
    """A dashed line per target, in the colours of the groups if these are given."""
    return {
        "data": named("targets"),
        "mark": {"type": "rule", "strokeDash": [5, 4], "strokeWidth": 1.6},
        "encoding": {
            "x": field("ms:Q"),
            "color": colours or {"value": INK},
            "opacity": faded(1, 0.1) if colours else {"value": 1},
            "tooltip": [tip("group:N", "target of"), tip("ms:Q", "ms", ",.0f")],
        },
    }


def scatter(outcomes: Outcomes, metric: str, title: str) -> Spec:
    """A duration of completed requests against their input, at most `MOST_POINTS` of them, spread over the table."""
    places = np.flatnonzero(outcomes.result.status == RequestStatus.COMPLETED)
    places = places[sample(len(places))] if len(places) else places
    columns: dict[str, Any] = {
        "request": outcomes.table.numbers[places],
        "input": outcomes.table.input_tokens[places],
        "cached": outcomes.result.cached_tokens[places],
        "output": outcomes.result.produced_tokens[places],
        "seconds": outcomes.result.arrival_us[places] / 1e6,
        "ms": getattr(outcomes, f"{metric}_us")(places) / 1000,
        "group": _class_names(outcomes, places),
    }
    names = sorted(set(columns["group"]))
    has_classes = 1 < len(names) < MOST_LINES
    scales = {
        name: {
            "padding": 6,
            **({"type": "log", "nice": False} if is_wide(columns[name]) else {"zero": True, "nice": True}),
        }
        for name in ("input", "ms")
    }
    x_axis, y_axis = (
        {"format": short_format(columns[name]), "tickCount": ticks} for name, ticks in (("input", 6), ("ms", 5))
    )
    tips = [
        tip("request:Q", "request", "d"),
        *([tip("group:N", "class")] if has_classes else []),
        tip("seconds:Q", "arrived, s", ",.2f"),
        tip("input:Q", "input tokens", ","),
        tip("cached:Q", "of these cached", ","),
        tip("output:Q", "output tokens", ","),
        tip("ms:Q", title, ",.2f"),
    ]
    chart = {
        "mark": {"type": "circle", "size": 26, "clip": True},
        "encoding": {
            "x": field("input:Q", title="input tokens", scale=scales["input"], axis=x_axis),
            "y": field("ms:Q", title=title, scale=scales["ms"], axis=y_axis),
            "color": colour("group:N", names, SERIES[1:]) if has_classes else {"value": SERIES[0]},
            "opacity": faded(opacity(len(places)), 0.03),
            "tooltip": tips,
        },
        "params": [chosen_in_legend("group")],
    }
    return drawn(rows(columns), chart, _HEIGHT + 40)


def _class_names(outcomes: Outcomes, rows: Any) -> list[str]:
    given = outcomes.table.slo_class
    if given is None:
        return [DEFAULT_CLASS] * len(rows)
    names = (*given.names, DEFAULT_CLASS)
    return [names[code] for code in given.codes[rows].tolist()]
