"""`Plots`: charts of outcomes for notebooks, as Altair draws them. None grows with the number of requests."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np

from blis.errors import InputError
from blis.files.shown import counted, summed_up
from blis.outcomes.metrics.activity import Floats, activity
from blis.outcomes.metrics.latency import known
from blis.outcomes.outcomes import Outcomes
from blis.report.charting import BLUE, GREEN, MOST_QUANTILES, ORANGE, sample

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

_COLOURS = (BLUE, ORANGE, GREEN)
_METRICS = ("TTFT", "TPOT", "E2E")
_WIDTH, _HEIGHT = 480, 260
#: Parts of the run over which requests are counted.
_PARTS = 240


class Plots:
    """Charts of one run (``outcomes.plot``).

    Args:
        outcomes: of a run or read from a file.

    Raises:
        InputError: the extra ``plots`` is not installed.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        if importlib.util.find_spec("altair") is None:
            raise InputError("plots need altair; install it with: pip install 'blis-sim[plots]'")
        self._outcomes = outcomes

    def __repr__(self) -> str:
        charts = ", ".join(name for name in vars(type(self)) if not name.startswith("_"))
        return summed_up(self, f"charts of {counted(len(self._outcomes), 'request')}: {charts}")

    def ttft_cdf(self) -> alt.Chart:
        """Share of requests whose time to first token was no longer."""
        return self._cdf(_METRICS[:1], "Time to first token")

    def latency_cdf(self) -> alt.Chart:
        """The same for TTFT, TPOT and E2E, on a logarithmic axis."""
        return self._cdf(_METRICS, "Latency", scale="log")

    def timeline(self) -> alt.Chart:
        """Running and waiting requests over time."""
        import altair as alt
        import polars as pl

        found = activity(self._outcomes, _PARTS)
        counts = {"running": found.running, "waiting": found.waiting}
        frames = [
            pl.DataFrame({"seconds": found.end_us / 1e6, "requests": values}).with_columns(state=pl.lit(name))
            for name, values in counts.items()
        ]
        return (
            alt.Chart(pl.concat(frames))
            .mark_line(interpolate="step-before")
            .encode(
                alt.X("seconds:Q", title="simulated time, s"),
                alt.Y("requests:Q", title="requests"),
                _colour("state", tuple(counts)),
            )
            .properties(width=_WIDTH, height=_HEIGHT, title="Requests in hand")
        )

    def latency_vs_input(self) -> alt.Chart:
        """Time to first token of single requests against the length of their prompts."""
        import altair as alt
        import polars as pl

        ttft_us = self._outcomes.ttft_us()
        rows = np.flatnonzero(ttft_us >= 0)
        rows = rows[sample(len(rows))] if len(rows) else rows
        frame = pl.DataFrame({"input_tokens": self._outcomes.table.input_tokens[rows], "ttft_ms": ttft_us[rows] / 1000})
        return (
            alt.Chart(frame)
            .mark_circle(size=22, opacity=0.5, color=_COLOURS[0])
            .encode(
                alt.X("input_tokens:Q", title="input tokens"),
                alt.Y("ttft_ms:Q", title="TTFT, ms"),
                tooltip=["input_tokens", "ttft_ms"],
            )
            .properties(width=_WIDTH, height=_HEIGHT, title="Time to first token by length of the prompt")
        )

    def _cdf(self, metrics: tuple[str, ...], title: str, scale: str = "linear") -> alt.Chart:
        import altair as alt
        import polars as pl

        frame = pl.concat([_quantiles(name, self._durations_us(name)) for name in metrics])
        return (
            alt.Chart(frame)
            .mark_line()
            .encode(
                alt.X("ms:Q", title="ms", scale=alt.Scale(type=scale)),
                alt.Y("share:Q", title="share of requests", axis=alt.Axis(format="%")),
                _colour("metric", metrics),
                order="share:Q",
            )
            .properties(width=_WIDTH, height=_HEIGHT, title=title)
        )

    def _durations_us(self, metric: str) -> Floats:
        outcomes = self._outcomes
        values = {"TTFT": outcomes.ttft_us, "TPOT": outcomes.itl_mean_us, "E2E": outcomes.e2e_us}[metric]()
        return known(values.astype(np.float64))


def _quantiles(metric: str, values_us: Floats) -> pl.DataFrame:
    import polars as pl

    shares = np.linspace(0, 1, min(MOST_QUANTILES, len(values_us)))
    ms = np.quantile(values_us, shares) / 1000 if len(values_us) else np.zeros(0)
    keep = ms > 0  # a logarithmic axis has no place for nothing
    return pl.DataFrame({"ms": ms[keep], "share": shares[keep]}).with_columns(metric=pl.lit(metric))


def _colour(field: str, names: tuple[str, ...]) -> alt.Color:
    import altair as alt

    scale = alt.Scale(domain=list(names), range=list(_COLOURS[: len(names)]))
    return alt.Color(f"{field}:N", title=None, scale=scale)
