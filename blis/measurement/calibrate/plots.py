"""Charts of a calibration: each duration against its prediction, both distributions, and errors over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blis.errors import InputError, nearest
from blis.files.output import replacing
from blis.measurement.calibrate.pairing import Floats, Pairs
from blis.report.charting import BLUE, GREEN, GREY, ORANGE, check_charts, opacity, quantile_shares, sample
from blis.workload.requests import Ints

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

SUFFIXES = (".html", ".svg", ".png")

_TITLES = {"ttft": "Time to first token", "e2e": "End-to-end time", "tpot": "Time per output token"}
_SIDE, _GAP = 260, 50
#: Durations that span more than this factor are shown on logarithmic axes.
_LINEAR_RANGE = 20
#: Errors outside are drawn at the edge: a few requests that took no time must not squeeze all others into a line.
_MOST_ERROR = 2.0
_PNG_SCALE = 2


def check_plots(path: Path) -> None:
    """Make sure that plots can be drawn and written under this name.

    Raises:
        InputError: the suffix is none of `SUFFIXES`, or the extra ``plots`` is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: unknown kind of plot {path.suffix!r}; {nearest(path.suffix, SUFFIXES)}")
    check_charts(path)


def write_plots(pairs: Pairs, in_flight: Ints, path: Path) -> None:
    """Draw the pairs into a file.

    Args:
        pairs: what to draw, at least one.
        in_flight: (k,) requests the server had in hand when each of them was sent.
        path: ``.html`` (everything inside, no outside references), ``.svg`` or ``.png``.

    Raises:
        InputError: as `check_plots` says.
    """
    check_plots(path)
    import vl_convert

    spec = chart(pairs, in_flight).to_dict()
    kind = path.suffix.lower()
    if kind == ".html":
        data = vl_convert.vegalite_to_html(spec, bundle=True).encode()
    elif kind == ".svg":
        data = vl_convert.vegalite_to_svg(spec).encode()
    else:
        data = vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def chart(pairs: Pairs, in_flight: Ints) -> alt.VConcatChart:
    """All panels: a column per metric that there is, below them errors and load over time."""
    import altair as alt

    metrics = metrics_of(pairs)
    columns = [_apart(alt.vconcat(scatter(pairs, metric), curves(pairs, metric), spacing=_GAP)) for metric in metrics]
    width = len(metrics) * _SIDE + (len(metrics) - 1) * (_GAP + 40)
    panels = _apart(alt.hconcat(*columns, spacing=_GAP))
    return (
        _apart(alt.vconcat(panels, over_time(pairs, in_flight, width), spacing=_GAP))
        .configure_view(stroke="#DDDDDD")
        .configure_axis(gridColor="#EEEEEE", labelFontSize=11, titleFontSize=12, titleFontWeight="normal")
        .configure_title(fontSize=14, anchor="start")
        .configure_legend(labelFontSize=12, titleFontSize=12, symbolSize=80)
        .properties(padding=16, background="white")
    )


def metrics_of(pairs: Pairs) -> list[str]:
    """Metrics that some pairs have."""
    return [metric for metric in _TITLES if len(pairs.durations_us(metric)[0])]


def _apart(panels: Any) -> Any:
    """The same panels, each with colours and a legend of its own."""
    return panels.resolve_scale(color="independent", strokeDash="independent", shape="independent")


def scatter(pairs: Pairs, metric: str) -> alt.LayerChart:
    """Each request as a point; on the line both sides are equal."""
    import altair as alt
    import polars as pl

    measured_us, simulated_us = pairs.durations_us(metric)
    shown = sample(len(measured_us))
    frame = pl.DataFrame({"measured": measured_us[shown] / 1000, "simulated": simulated_us[shown] / 1000})
    ends, scale = _shared_scale(frame)
    x = alt.X("measured:Q", title="measured, ms", scale=scale, axis=alt.Axis(tickCount=5, format="~s"))
    y = alt.Y("simulated:Q", title="simulated, ms", scale=scale, axis=alt.Axis(tickCount=5, format="~s"))
    line = alt.Chart(pl.DataFrame({"measured": ends, "simulated": ends})).mark_line(
        color=GREY, strokeDash=[5, 4], strokeWidth=1.5
    )
    points = alt.Chart(frame).mark_circle(color=BLUE, size=22, opacity=opacity(len(shown)), clip=True)
    return (
        alt.layer(line.encode(x, y), points.encode(x, y))
        .resolve_scale(x="shared", y="shared")
        .properties(width=_SIDE, height=_SIDE, title=_TITLES[metric])
    )


def _shared_scale(frame: pl.DataFrame) -> tuple[list[float], alt.Scale]:
    """One scale for both axes, so that the line of equality is the diagonal, and its ends."""
    import altair as alt

    values = frame.to_numpy()
    least, most = float(values.min()), float(values.max())
    if least > 0 and most > _LINEAR_RANGE * least:
        ends = [least / 1.1, most * 1.1]
        return ends, alt.Scale(type="log", domain=ends, nice=False)
    ends = [0.0, (most or 1.0) * 1.05]
    return ends, alt.Scale(domain=ends, nice=False)


def curves(pairs: Pairs, metric: str) -> alt.Chart:
    """Share of requests that took no longer, for both sides."""
    import altair as alt
    import polars as pl

    sides = dict(zip(("measured", "simulated"), pairs.durations_us(metric), strict=True))
    frame = pl.concat([_cdf(name, values_us) for name, values_us in sides.items()])
    _, scale = _shared_scale(frame.select("duration_ms"))
    names = list(sides)
    legend = alt.Legend(orient="top-left", fillColor="white", padding=4, symbolSize=300)
    return (
        alt.Chart(frame)
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            alt.X("duration_ms:Q", title="ms", scale=scale, axis=alt.Axis(tickCount=5, format="~s")),
            alt.Y("share:Q", title="share of requests", axis=alt.Axis(format="%", tickCount=5)),
            alt.Color(
                "side:N",
                title=None,
                scale=alt.Scale(domain=names, range=[BLUE, ORANGE]),
                legend=legend,
            ),
            alt.StrokeDash("side:N", title=None, scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]]), legend=legend),
            order=alt.Order("share:Q"),
        )
        .properties(width=_SIDE, height=_SIDE * 0.7)
    )


def _cdf(side: str, values_us: Floats) -> pl.DataFrame:
    import polars as pl

    shares = quantile_shares(len(values_us))
    return pl.DataFrame({"duration_ms": np.quantile(values_us, shares) / 1000, "share": shares}).with_columns(
        side=pl.lit(side)
    )


def over_time(pairs: Pairs, in_flight: Ints, width: int) -> alt.VConcatChart:
    """How far off the requests sent at each time are, and how much the server had to do then."""
    import altair as alt
    import polars as pl

    order = np.argsort(pairs.measured.start_us, kind="stable")
    shown = order[sample(len(order))]
    seconds = (pairs.measured.start_us[shown] - pairs.measured.start_us.min()) / 1e6
    x = alt.X("seconds:Q", title="sent, seconds after the first request", scale=alt.Scale(nice=False))
    errors = pl.concat([_errors(pairs, metric, shown, seconds) for metric in ("ttft", "e2e")])
    names = ["TTFT", "E2E"]
    legend = alt.Legend(orient="top-right", direction="horizontal", symbolOpacity=1, fillColor="white", padding=4)
    points = (
        alt.Chart(errors)
        .mark_point(filled=True, size=22, opacity=opacity(len(shown)), clip=True)
        .encode(
            x.title(None),
            alt.Y("error:Q", title="relative error", axis=alt.Axis(format="+%", tickCount=5)),
            alt.Color("metric:N", title=None, scale=alt.Scale(domain=names, range=[BLUE, ORANGE]), legend=legend),
            alt.Shape(
                "metric:N",
                title=None,
                scale=alt.Scale(domain=names, range=["circle", "triangle-up"]),
                legend=legend,
            ),
        )
    )
    zero = alt.Chart().mark_rule(color=GREY, strokeDash=[5, 4], strokeWidth=1.5).encode(y=alt.datum(0))
    load = (
        alt.Chart(pl.DataFrame({"seconds": seconds, "in_flight": in_flight[shown]}))
        .mark_area(interpolate="step-after", color=GREEN, opacity=0.35, line={"color": GREEN, "strokeWidth": 1})
        .encode(x, alt.Y("in_flight:Q", title="in flight", axis=alt.Axis(tickCount=4, tickMinStep=1)))
    )
    title = "Relative error over time (above 0: the simulation took longer), and requests in flight when sent"
    return alt.vconcat(
        alt.layer(points, zero, data=errors).properties(width=width, height=_SIDE * 0.6, title=title),
        load.properties(width=width, height=_SIDE * 0.3),
        spacing=12,
    ).resolve_scale(x="shared", color="independent", shape="independent")


def _errors(pairs: Pairs, metric: str, shown: Ints, seconds: Floats) -> pl.DataFrame:
    """Relative errors of those requests of which there is one."""
    import polars as pl

    measured_us, simulated_us = (values[shown] for values in pairs.durations_us(metric))
    known = measured_us > 0
    error = (simulated_us[known] - measured_us[known]) / measured_us[known]
    return pl.DataFrame({"seconds": seconds[known], "error": np.minimum(error, _MOST_ERROR)}).with_columns(
        metric=pl.lit(metric.upper())
    )
