"""What charts of a run are made of, in the words of Vega-Lite.

Altair would give the same, but to import and ask it takes longer than all figures of most runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from blis.report.charting import SERIES, Spec

WIDTH = 400
#: A bar from bottom to top that the page draws when the pointer is there (page.css); its tooltip has all figures.
HOVER: Spec = {"type": "bar", "fill": "var(--hover)", "fillOpacity": 0}
FULL_HEIGHT: Spec = {"x2": {"field": "right"}, "y": {"value": 0}, "y2": {"value": "height"}}

_KINDS = {"Q": "quantitative", "N": "nominal", "O": "ordinal"}


def field(shorthand: str, **more: Any) -> Spec:
    """A column with its kind (``ms:Q``), and how it is shown."""
    name, _, kind = shorthand.rpartition(":")
    return {"field": name, "type": _KINDS[kind], **more}


def tip(shorthand: str, title: str, form: str | None = None) -> Spec:
    """A line of a tooltip."""
    return field(shorthand, title=title, **({} if form is None else {"format": form}))


def colour(shorthand: str, names: Sequence[str], colours: Sequence[str] = SERIES, **more: Any) -> Spec:
    """A colour for each name, in their order."""
    return field(shorthand, scale={"domain": list(names), "range": list(colours[: len(names)])}, **more)


def chosen_in_legend(column: str, views: Sequence[str] = ()) -> Spec:
    """The parameter ``shown``: what was clicked in the legend; of charts within charts, also in which of them."""
    found = {"name": "shown", "select": {"type": "point", "fields": [column]}, "bind": "legend"}
    return found | {"views": list(views)} if views else found


def faded(shown: float, others: float) -> Spec:
    """Opacity of what was chosen in the legend, and of all else."""
    return {"condition": {"param": "shown", "value": shown}, "value": others}


def rows(columns: Mapping[str, Iterable[Any]]) -> list[Spec]:
    """A row per value of each column."""
    values = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def drawn(data: Sequence[Spec], chart: Spec, height: int, **more: Sequence[Spec]) -> Spec:
    """A chart of these rows; ``more`` are those that single layers ask for by name (`named`)."""
    return chart | {"data": named("rows"), "datasets": datasets(rows=data, **more), "height": height, "width": WIDTH}


def datasets(**data: Sequence[Spec]) -> dict[str, Sequence[Spec]]:
    """Rows by name."""
    return {named(name)["name"]: each for name, each in data.items()}


def named(name: str) -> Spec:
    """The rows with this name."""
    return {"name": f"data-{name}"}
