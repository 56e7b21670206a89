"""Charts of a sweep, as Vega-Lite: all points at once along parallel axes, and figures over two settings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blis.report.charting import CARD, INK, SERIES, SOFT, Spec, short_format, spec
from blis.report.figure_charts import is_wide

if TYPE_CHECKING:
    import polars as pl

#: Values of a setting that have a mark each; of more, only ends and middle are marked, and heat maps bin them.
MOST_VALUES = 12
_HEIGHT, _CELL_HEIGHT = 300, 30
#: Names of axes that are longer are broken at their underscores.
_LONG = 12
#: Heat maps of more columns show no figures in their cells.
_MOST_FIGURES = 8


def parallel(points: pl.DataFrame, axes: Mapping[str, str], kinds: Mapping[str, str], log: Sequence[str] = ()) -> Spec:
    """A line per point across parallel axes, one per setting and figure.

    Args:
        points: a row per point: ``point``, ``kind``, and the columns of ``axes``; what is null leaves a gap.
        axes: title by column, from left to right.
        kinds: colours by kind.
        log: columns whose axis is logarithmic.
    """
    import altair as alt
    import polars as pl

    names = list(axes.values())
    rows, marks = [], []
    for column, name in axes.items():
        places, labels = _places(points[column], is_log=column in log)
        rows += [
            {"point": point, "kind": kind, "axis": name, "place": place}
            for point, kind, place in zip(points["point"], points["kind"], places, strict=True)
            if place is not None
        ]
        marks += [{"axis": name, "place": place, "label": label} for place, label in labels]
    shown = {kind: colour for kind, colour in kinds.items() if kind in set(points["kind"])}
    legend = alt.Legend(symbolType="stroke") if len(shown) > 1 else None
    colour = alt.Color(
        "kind:N", sort=None, scale=alt.Scale(domain=list(shown), range=list(shown.values())), legend=legend
    )
    chosen = alt.selection_point(name="shown", fields=["kind"], bind="legend")
    hovered = alt.selection_point(name="hovered", fields=["point"], on="pointerover", clear="pointerout", empty=False)
    lines = max(name.count("_") + 1 if len(name) > _LONG else 1 for name in names)
    axis = alt.Axis(
        orient="top",
        domain=False,
        ticks=False,
        labelAngle=0,
        labelPadding=12 * lines,
        labelOverlap=False,
        labelExpr=f"length(datum.label) > {_LONG} ? split(datum.label, '_') : datum.label",
        grid=True,
    )
    x = alt.X("axis:N", sort=names, title=None, axis=axis, scale=alt.Scale(padding=0.35))
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, padding=6))
    tips = [
        alt.Tooltip(f"{column}:N" if _is_text(points[column]) else f"{column}:Q", title=name)
        for column, name in axes.items()
    ]
    for tip, column in zip(tips, axes, strict=True):
        if not _is_text(points[column]):
            tip.format = ",.4~g"
    looked_up = alt.LookupData(data=points.select("point", *axes), key="point", fields=list(axes))
    lines = alt.Chart(pl.DataFrame(rows)).encode(x, y, detail="point:N")
    width = alt.condition(hovered, alt.value(3), alt.value(1.1))
    clear = {"condition": [{"param": "hovered", "value": 1}, {"param": "shown", "value": _opacity(len(points))}]}
    layers = [
        lines.mark_line().encode(colour, size=width, opacity=alt.Opacity(**clear, value=0.03)).add_params(chosen),
        alt.Chart(pl.DataFrame(marks))
        .mark_text(align="right", dx=-7, fontSize=10.5, color=SOFT, stroke=CARD, strokeWidth=3)
        .encode(x, y, text="label:N"),
        lines.mark_point(filled=True, size=110, opacity=0)
        .transform_lookup(lookup="point", from_=looked_up)
        .encode(tooltip=[alt.Tooltip("point:Q", title="point"), *tips])
        .add_params(hovered),
    ]
    return spec(alt.layer(*layers).properties(height=_HEIGHT, width=400))


def heat(cells: pl.DataFrame, x: str, y: str, title: str, order: tuple[Sequence[str], Sequence[str]]) -> Spec:
    """A figure over two settings: the darker, the higher.

    Args:
        cells: columns ``x`` and ``y`` (texts), ``value``, and ``runs`` that it is the mean of.
        x: name of the setting across.
        y: name of the setting upwards.
        title: of the figure, with its unit.
        order: the texts of either, in the order in which they are drawn.
    """
    import altair as alt

    # a name along the axis would be longer than a low map is high
    axis = alt.Axis(labelLimit=110, grid=False, titleAngle=0, titleAlign="left", titleX=0, titleY=-9)
    base = alt.Chart(cells).encode(
        alt.X("x:N", sort=list(order[0]), title=x, axis=alt.Axis(labelAngle=0, labelLimit=90, grid=False)),
        alt.Y("y:N", sort=list(order[1])[::-1], title=y, axis=axis),
        tooltip=[
            alt.Tooltip("x:N", title=x),
            alt.Tooltip("y:N", title=y),
            alt.Tooltip("value:Q", title=title, format=",.4~g"),
            alt.Tooltip("runs:Q", title="mean of runs"),
        ],
    )
    kind: dict[str, Any] = {"type": "log"} if is_wide(cells["value"].to_numpy()) else {"zero": False}
    shade = alt.FillOpacity("value:Q", scale=alt.Scale(range=[0.06, 0.75], **kind), legend=None)
    layers = [base.mark_rect(color=SERIES[0], stroke=CARD).encode(shade)]
    if len(order[0]) <= _MOST_FIGURES:
        layers.append(base.mark_text(fontSize=10.5, color=INK).encode(alt.Text("value:Q", format=".3~s")))
    height = max(_CELL_HEIGHT * len(order[1]), 90)
    return spec(alt.layer(*layers).properties(height=height, width=400))


def binned(values: pl.Series) -> tuple[list[str], list[str]]:
    """Texts of values, and these texts in order."""
    distinct = values.unique().sort().to_list()
    if len(distinct) <= MOST_VALUES or not values.dtype.is_numeric():
        return [text_of(value) for value in values], [text_of(value) for value in distinct]
    edges = [distinct[len(distinct) * place // 6] for place in range(6)] + [distinct[-1]]
    names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)]
    return [names[max(sum(value >= edge for edge in edges[:-1]) - 1, 0)] for value in values], names


def effects(levels: pl.DataFrame, title: str) -> Spec:
    """Mean of a figure at each value of each setting, a colour per setting.

    Args:
        levels: columns ``setting``, ``level``, ``value`` and ``points`` that it is the mean of, in the order in which
            they are drawn.
        title: of the figure, with its unit.
    """
    import altair as alt
    import polars as pl

    frame = levels.with_columns(pl.format("{} = {}", "setting", "level").alias("name"))
    settings = levels["setting"].unique(maintain_order=True).to_list()
    colours = list(SERIES[: len(settings)])
    colour = alt.Color("setting:N", sort=None, scale=alt.Scale(domain=settings, range=colours), legend=None)
    axis = alt.Axis(labelLimit=210, grid=False)
    y = alt.Y("name:N", sort=frame["name"].to_list(), title="setting and value", axis=axis)
    values = frame["value"].to_numpy()
    kind: dict[str, Any] = {"type": "log", "nice": False} if is_wide(values) else {"zero": False, "nice": True}
    ticks = alt.Axis(format=short_format(values), tickCount=5)
    x = alt.X("value:Q", title=title, scale=alt.Scale(padding=10, **kind), axis=ticks)
    mean = float(np.average(values, weights=frame["points"].to_numpy()))
    tips = [
        alt.Tooltip("name:N", title=" "),
        alt.Tooltip("value:Q", title=title, format=",.4~g"),
        alt.Tooltip("points:Q", title="mean of points"),
    ]
    base = alt.Chart(frame).encode(x, y, colour)
    layers = [
        alt.Chart(pl.DataFrame({"mean": [mean]})).mark_rule(color=INK, strokeDash=[2, 3]).encode(alt.X("mean:Q")),
        base.mark_line(strokeWidth=1.2, opacity=0.6).encode(detail="setting:N", order="row:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(tooltip=tips),
    ]
    layers[1] = layers[1].transform_window(row="row_number()")
    return spec(alt.layer(*layers).properties(height=20 * len(frame) + 10, width=400))


def text_of(value: Any) -> str:
    """A setting as a label."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def _places(values: pl.Series, *, is_log: bool) -> tuple[list[float | None], list[tuple[float, str]]]:
    """Where each value stands between the ends of its axis, 0 to 1, and what is marked."""
    known = values.drop_nulls()
    distinct = known.unique().sort().to_list()
    if _is_text(values):
        at = {value: index / max(len(distinct) - 1, 1) for index, value in enumerate(distinct)}
        marked = distinct if len(distinct) <= MOST_VALUES else [distinct[0], distinct[-1]]
        return [None if value is None else at[value] for value in values], [(at[v], text_of(v)) for v in marked]
    numbers = np.asarray(values.to_list(), np.float64)
    scaled = np.log(numbers) if is_log else numbers
    low, high = np.nanmin(scaled), np.nanmax(scaled)
    span = high - low or 1.0
    place = (scaled - low) / span
    if 1 < len(distinct) <= 5:
        marks = [(float((np.log(v) if is_log else v) - low) / span, text_of(float(v))) for v in distinct]
    else:
        ends = (0.0, 0.5, 1.0) if len(distinct) > 1 else (0.0,)
        back = [(share, low + share * span) for share in ends]
        marks = [(share, text_of(float(np.exp(value) if is_log else value))) for share, value in back]
    return [None if np.isnan(one) else float(one) for one in place], marks


def _is_text(values: pl.Series) -> bool:
    return not values.dtype.is_numeric()


def _opacity(count: int) -> float:
    return max(0.25, min(0.9, 30 / max(count, 1)))
