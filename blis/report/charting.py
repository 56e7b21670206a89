"""What all charts have in common: the extra they need, colours, and bounds of what they hold."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blis.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Bounds of what a chart holds however large its source is: points of a panel, and quantiles of a curve.
MOST_POINTS, MOST_QUANTILES = 2_000, 200

#: Okabe and Ito's colours, which people with any kind of colour vision tell apart (jfly.uni-koeln.de/color, 2008).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
#: The same and more as pages name them, so that they can be lighter on dark ground (page.css).
SERIES = tuple(f"var(--series-{number})" for number in range(1, 9))
#: More instances than this are shown as their mean and range, and more classes are not shown apart.
MOST_LINES = len(SERIES)
INK, SOFT, CARD = "var(--ink)", "var(--soft)", "var(--card)"
_ON_PAGES = {BLUE: SERIES[0], ORANGE: SERIES[1], GREEN: SERIES[2], GREY: SOFT, "white": CARD}

#: Larger numbers on an axis are written with k, M and so on.
_SHORT_FROM = 10_000

#: A chart as Vega-Lite has it: plain JSON values.
Spec = dict[str, Any]


def check_charts(path: Path) -> None:
    """Make sure that charts can be drawn.

    Raises:
        InputError: the extra ``plots`` is not installed; names ``path``.
    """
    missing = [name for name in ("altair", "vl_convert") if importlib.util.find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        raise InputError(f"{path}: plots need {needed}; install them with: pip install 'blis-sim[plots]'")


def spec(chart: Any) -> Spec:
    """What a page holds of a chart of Altair's: no schema's address; titles, colours and looks are the page's."""
    found: Spec = _on_page(chart.to_dict(validate=False))
    for name in ("$schema", "config", "background", "padding"):
        found.pop(name, None)
    for panel in (found, *found.get("vconcat", ())):
        panel.pop("title", None)
    return found


def _on_page(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: inner if key == "datasets" else _on_page(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_on_page(inner) for inner in value]
    return _ON_PAGES.get(value, value) if isinstance(value, str) else value


def sample(count: int, most: int = MOST_POINTS) -> Ints:
    """At most so many of ``count`` positions, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def quantile_shares(count: int) -> Floats:
    """Shares at which a curve over so many values is drawn, from 0 to 1."""
    return np.linspace(0, 1, min(MOST_QUANTILES, max(count, 2)))


def short_format(values: ArrayLike) -> str:
    """How an axis for these values is labelled: 2,000 but 20k."""
    return "~s" if np.nanmax(values, initial=0) >= _SHORT_FROM else ",~r"


def opacity(count: int) -> float:
    """Many points are drawn thinner, so that crowds can be told from outliers."""
    return 0.35 if count > MOST_POINTS / 4 else 0.6
