"""Which points of a sweep are best, each among those with the same load, and how much each setting matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis.outcomes.metrics.steady_state import VERDICTS
from blis.studies.sweep.charts import binned
from blis.studies.sweep.keys import OF_THE_LOAD
from blis.studies.sweep.swept import THROUGHPUT, Swept

if TYPE_CHECKING:
    import polars as pl


class Ranking(NamedTuple):
    """Points, or sets of settings that each stand for a point per load, the best first.

    Attributes:
        rows: columns of ``settings`` and figures (means), ``place`` (mean), ``points`` and ``overloaded`` of them.
        settings: that the rows differ in.
        of_load: settings of the load; points that differ in none of them are ranked among each other. Empty: all are.
    """

    rows: pl.DataFrame
    settings: list[str]
    of_load: list[str]


def ranking(swept: Swept) -> Ranking:
    """Rank what was varied.

    A point's place is its mean place in all figures among the points with the same load; an overloaded one has the last
    place in each, since its figures are those of a length. Unless most settings were tried with most loads, as in a
    grid, all points are ranked among each other.
    """
    import polars as pl

    points = swept.complete()
    of_load = [name for name in swept.settings if name in OF_THE_LOAD]
    choices = [name for name in swept.settings if name not in OF_THE_LOAD]
    combinations = points.select(of_load).n_unique() * points.select(choices).n_unique() if of_load and choices else 0
    if not 0 < combinations < 2 * len(points):
        of_load, choices = [], list(swept.settings)
    overloaded = pl.col("kind") == VERDICTS[False]
    places = [
        pl.when(overloaded).then(pl.len()).otherwise((-pl.col(name) if name == THROUGHPUT else pl.col(name)).rank())
        for name in swept.figures
    ]
    placed = points.with_columns(
        (pl.mean_horizontal(*(place.over(of_load) if of_load else place for place in places))).alias("place")
    )
    rows = (
        placed.group_by(choices, maintain_order=True)
        .agg(
            pl.col("place", *swept.figures).mean(),
            pl.len().alias("points"),
            overloaded.sum().alias("overloaded"),
        )
        .sort("place", maintain_order=True)
    )
    return Ranking(rows, choices, of_load)


def shares(swept: Swept) -> dict[str, dict[str, float | None]]:
    """How much of the variation between points each setting explains by itself (η²), by setting and figure.

    None where a figure does not vary. The setting that explains most of anything comes first.
    """
    points = swept.complete()
    found: dict[str, dict[str, float | None]] = {}
    for setting in swept.settings:
        texts, _ = binned(points[setting])
        _, level = np.unique(np.array(texts), return_inverse=True)
        found[setting] = {
            name: _share(level, points[name].cast(float).fill_null(np.nan).to_numpy()) for name in swept.figures
        }
    return dict(sorted(found.items(), key=lambda item: -max((value or 0.0 for value in item[1].values()), default=0.0)))


def _share(level: NDArray[np.intp], values: NDArray[np.float64]) -> float | None:
    """Variation between the means of levels, relative to all."""
    known = ~np.isnan(values)
    level, values = level[known], values[known]
    whole = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    if whole == 0:
        return None
    counts = np.bincount(level)
    means = np.bincount(level, values) / np.maximum(counts, 1)
    return float((counts * (means - values.mean()) ** 2)[counts > 0].sum()) / whole
