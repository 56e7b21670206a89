"""Charts of figures of many runs, as Vega-Lite: one against load or a setting, and two against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blis.report.charting import CARD, INK, SERIES, SOFT, Floats, Spec, short_format, spec
from blis.report.point_labels import PADDING, placed

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

_HEIGHT, _TRADEOFF_HEIGHT = 240, 280
#: Axes are logarithmic where values span more than this factor.
_LINEAR_RANGE = 20
#: Points that may be named; of more, the first ones are.
_MOST_LABELS = 40
#: Shapes beside colours: print in grey and eyes of any kind tell them apart.
_SHAPES = ("circle", "triangle-up", "square", "diamond", "cross")


class Limit(NamedTuple):
    """A line across a chart.

    Attributes:
        value: where.
        name: what it is.
        is_upright: whether it marks a place on the x axis.
    """

    value: float
    name: str
    is_upright: bool = False


def against(
    frame: pl.DataFrame,
    x_title: str,
    y_title: str,
    kinds: Mapping[str, str],
    limits: Sequence[Limit] = (),
    tips: Mapping[str, str] | None = None,
) -> Spec:
    """A figure against load or a setting: points, a line through their means, a band for their intervals.

    Args:
        frame: columns ``x``, ``value``, ``low`` and ``high`` (null: no interval), ``kind``, and those of ``tips``.
        x_title: of the axis.
        y_title: of the axis.
        kinds: colours of kinds of points, by name.
        limits: lines across.
        tips: title by column: what hovering over a point tells besides.
    """
    import altair as alt
    import polars as pl

    shown = {name: colour for name, colour in kinds.items() if name in set(frame["kind"])}
    levels = [limit.value for limit in limits if not limit.is_upright]
    values = np.concatenate([frame["value"].drop_nulls().to_numpy(), levels])
    y_axis = alt.Axis(format=short_format(values), tickCount=5)
    y = alt.Y("value:Q", title=y_title, scale=scale_for(values), axis=y_axis)
    x_values = frame["x"].to_numpy()
    steps = {"tickMinStep": 1} if (x_values == np.round(x_values)).all() else {}
    x_axis = alt.Axis(format=short_format(x_values), tickCount=7, **steps)
    x = alt.X("x:Q", title=x_title, scale=alt.Scale(zero=False, nice=False, padding=14), axis=x_axis)
    fields = [alt.Tooltip("x:Q", title=x_title, format=",.4~g"), alt.Tooltip("value:Q", title=y_title, format=",.4~g")]
    layers: list[Any] = []
    if frame["low"].null_count() < len(frame):
        ends = (("low", "95 %, from"), ("high", "to"))
        fields += [alt.Tooltip(f"{name}:Q", title=title, format=",.4~g") for name, title in ends]
        bounded = frame.select("x", "low", "high").drop_nulls()
        if is_wide(values):  # a logarithmic axis has no place for ends below 0
            bounded = bounded.with_columns(pl.col("low").clip(lower_bound=values.min() / 2))
        band = alt.Chart(bounded).mark_area(opacity=0.18, color=SERIES[0], clip=True)
        layers.append(band.encode(x, alt.Y("low:Q", title=y_title), alt.Y2("high:Q")))
    fields += [alt.Tooltip(column, title=title) for column, title in (tips or {}).items()]
    means = frame.group_by("x", maintain_order=True).agg(pl.col("value").mean()).sort("x")
    layers.append(alt.Chart(means).mark_line(color=SERIES[0], strokeWidth=1.8, clip=True).encode(x, y))
    layers += [_rule(limit) for limit in limits]
    layers.append(
        alt.Chart(frame)
        .mark_point(filled=True, size=58, opacity=1, clip=True)
        .encode(x, y, tooltip=fields, **_kinds(shown))
    )
    return spec(alt.layer(*layers).properties(height=_HEIGHT, width=400))


class Axis(NamedTuple):
    """One of two figures that are traded for each other.

    Attributes:
        column: of the frame.
        title: with its unit.
        limit: a line; None: there is none.
    """

    column: str
    title: str
    limit: float | None = None


def tradeoff(frame: pl.DataFrame, x: Axis, y: Axis, kinds: Mapping[str, str], tips: Mapping[str, str]) -> Spec:
    """Points in two figures, and a line through those that no other one beats.

    Args:
        frame: both figures, ``kind``, ``on_front``, ``name``, and the columns of ``tips``; if there is a column
            ``label``, these texts stand beside the points, as far as there is room.
        x: across.
        y: upwards.
        kinds: colours of kinds of points, by name.
        tips: title by column: what hovering tells besides the figures.
    """
    import altair as alt
    import polars as pl

    shown = {name: colour for name, colour in kinds.items() if name in set(frame["kind"])}
    places = []
    for axis, channel in ((x, alt.X), (y, alt.Y)):
        values = [*frame[axis.column].drop_nulls().to_list(), *([axis.limit] if axis.limit is not None else [])]
        ticks = alt.Axis(format=short_format(values), tickCount=6)
        scale = scale_for(values, padding=PADDING, nice=False)
        places.append(channel(f"{axis.column}:Q", title=axis.title, scale=scale, axis=ticks))
    fields = [alt.Tooltip("name:N", title=" ")]
    fields += [alt.Tooltip(f"{axis.column}:Q", title=axis.title, format=",.4~g") for axis in (x, y)]
    fields += [alt.Tooltip(column, title=title) for column, title in tips.items()]
    front = frame.filter(pl.col("on_front")).sort(x.column)
    layers: list[Any] = [
        alt.Chart(front).mark_line(color=INK, strokeDash=[2, 3], strokeWidth=1.2).encode(*places),
        *(_rule(Limit(axis.limit, "limit", axis is x)) for axis in (x, y) if axis.limit is not None),
        alt.Chart(frame).mark_point(filled=True, size=62, opacity=0.9).encode(*places, tooltip=fields, **_kinds(shown)),
    ]
    if "label" in frame.columns:
        for (dx, dy), labels in _labels(frame.head(_MOST_LABELS), (x, y)).items():
            marks = alt.Chart(labels).mark_text(
                dx=dx, dy=dy, fontSize=10.5, color=SOFT, baseline="middle", stroke=CARD, strokeWidth=2
            )
            layers.append(marks.encode(*places, text="label:N"))
    return spec(alt.layer(*layers).properties(height=_TRADEOFF_HEIGHT, width=400))


def _labels(frame: pl.DataFrame, axes: Sequence[Axis]) -> dict[tuple[float, float], pl.DataFrame]:
    """Rows that have a label, by where it stands relative to the point; those on the front come first."""
    import polars as pl

    known = frame.drop_nulls([axis.column for axis in axes]).sort("on_front", descending=True, maintain_order=True)
    columns = [_shares(known[axis.column].to_numpy(), axis.limit) for axis in axes]
    found = placed(list(zip(*columns, strict=True)), known["label"].to_list(), _TRADEOFF_HEIGHT)
    groups: dict[tuple[float, float], list[tuple[int, str]]] = {}
    for label in found:
        groups.setdefault((label.dx, label.dy), []).append((label.row, label.text))
    return {
        offset: known[[row for row, _ in rows]].with_columns(pl.Series("label", [text for _, text in rows]))
        for offset, rows in groups.items()
    }


def _shares(values: Floats, limit: float | None) -> list[float]:
    """Where values stand on their axis, from 0 to 1."""
    every = np.append(values, [] if limit is None else [limit])
    scaled = np.log(every) if is_wide(every) else every
    low, high = scaled.min(initial=np.inf), scaled.max(initial=-np.inf)
    shares: list[float] = ((scaled - low) / (high - low or 1.0)).tolist()
    return shares[: len(values)]


def on_front(first: ArrayLike, second: ArrayLike) -> NDArray[np.bool_]:
    """(n,) whether nothing else is nowhere worse and somewhere better; O(n log n).

    Args:
        first: (n,) costs, the lower the better; nan: unknown, such a row is not on the front.
        second: (n,) others of the same rows.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    known = np.flatnonzero(~(np.isnan(a) | np.isnan(b)))
    found = np.zeros(len(a), np.bool_)
    if len(known) == 0:
        return found
    groups, group = np.unique(a[known], return_inverse=True)
    least = np.full(len(groups), np.inf)
    np.minimum.at(least, group, b[known])  # of rows with the same first cost only the cheapest may be on it
    before = np.concatenate([[np.inf], np.minimum.accumulate(least)[:-1]])
    found[known] = (b[known] == least[group]) & (least < before)[group]
    return found


def scale_for(
    values: Sequence[float] | Floats, padding: float = 8, *, zero: bool = False, nice: bool = True
) -> alt.Scale:
    """Logarithmic where values span much; else it begins at 0 if ``zero``, and ends at even numbers if ``nice``."""
    import altair as alt

    if is_wide(values):
        return alt.Scale(type="log", nice=False, padding=padding)
    return alt.Scale(zero=zero, nice=nice, padding=padding)


def is_wide(values: Sequence[float] | Floats) -> bool:
    """Whether values span so much that their axis is logarithmic."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return len(numbers) > 0 and 0 < numbers.min() * _LINEAR_RANGE < numbers.max()


def _kinds(shown: Mapping[str, str]) -> dict[str, Any]:
    """Colours and shapes of kinds of points, and a legend if there are several."""
    import altair as alt

    legend = alt.Legend(symbolStrokeWidth=0) if len(shown) > 1 else None
    names, colours, shapes = list(shown), list(shown.values()), list(_SHAPES[: len(shown)])
    return {
        "color": alt.Color("kind:N", sort=None, scale=alt.Scale(domain=names, range=colours), legend=legend),
        "shape": alt.Shape("kind:N", sort=None, scale=alt.Scale(domain=names, range=shapes), legend=legend),
    }


def _rule(limit: Limit) -> alt.Chart:
    import altair as alt
    import polars as pl

    place = alt.X("value:Q") if limit.is_upright else alt.Y("value:Q")
    tip = alt.Tooltip("value:Q", title=limit.name, format=",.4~g")
    frame = pl.DataFrame({"value": [float(limit.value)]})
    return alt.Chart(frame).mark_rule(strokeDash=[6, 4], color=INK, strokeWidth=1.5).encode(place, tooltip=[tip])
