"""The page of a capacity, or of how many instances a load needs (docs/report.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from blis.report.charting import GREEN, ORANGE
from blis.report.configuration import configuration
from blis.report.figure_charts import Limit, against
from blis.report.page import Cell, Chart, Page, Section, Table, Text, Tile, Tiles
from blis.report.run_headlines import title
from blis.report.tables import percent
from blis.studies.capacity.capacity import Capacity, InstancesNeeded
from blis.studies.capacity.objectives import GOODPUT
from blis.studies.capacity.points import Point, finite
from blis.studies.capacity.report import answer, headlines, length_text, limit_text, number_text, value_text

_KINDS = {"meets all SLOs": GREEN, "misses one": ORANGE}


def page_of(found: Capacity | InstancesNeeded, command: Sequence[str] = ()) -> Page:
    """Put the page together.

    Args:
        found: of `blis.studies.capacity.capacity`.
        command: arguments of ``blis`` that make the same; empty: not known.
    """
    first, *others = headlines(found)
    of_instances = isinstance(found, InstancesNeeded)
    count = 1 if of_instances else max(point.num_instances for point in found.points)
    heading = "Instances of " if of_instances else "Capacity of "
    return Page(
        heading + title(found.configuration, count),
        first,
        [
            Section("", [Tiles(list(_tiles(found)))]),
            Section("SLOs against instances" if of_instances else "SLOs against load", list(_charts(found))),
            Section(
                "The curve",
                [_table(found), Text(f"{_HOW} All have the same length: {length_text(found.curve_points)}.")],
            ),
            configuration(found.configuration, command),
        ],
        others,
    )


_HOW = (
    "Each row is several runs with the same seeds, and hence the same requests, as the others. Figures are means over "
    "them; their 95 % intervals are in the charts. Left out of figures are the start of each run, and its end."
)


def _tiles(found: Capacity | InstancesNeeded) -> Iterator[Tile]:
    if isinstance(found, InstancesNeeded):
        enough = found.num_instances is not None
        value = f"{found.num_instances:,}" if enough else f"more than {found.max_instances:,}"
        yield Tile("Instances", [("", value)], f"for {found.rate:g} {found.unit}/s", "good" if enough else "bad")
        yield Tile("A full instance", [(f"{found.unit}/s", number_text(found.saturation_rate))])
    else:
        value = "none" if found.rate is None else f"{found.rate:.5g}"
        note = "" if found.low is None else f"95 % interval {found.low:.5g} to {found.high:.5g}"
        yield Tile(f"Capacity, {found.unit}/s", [("", value)], note, "bad" if found.rate is None else "good")
        yield Tile(
            "A full system",
            [(f"{found.unit}/s", number_text(found.saturation_rate))],
            "answered while requests wait",
        )
    yield Tile("Utilisation", [("", percent(found.utilisation))], "of what a full system answers")
    shown = answer(found)
    for name in shown.slos.names:
        strain = shown.strains[name]
        note = f"asked for: {limit_text(shown.slos, name)}"
        yield Tile(name, [("", value_text(name, shown.estimates[name].mean))], note, "bad" if strain > 1 else "")
    yield Tile("Backlog", [("", shown.backlog)], "", "bad" if shown.stable is False else "")


def _charts(found: Capacity | InstancesNeeded) -> Iterator[Chart]:
    import polars as pl

    of_instances = isinstance(found, InstancesNeeded)
    at = found.num_instances if isinstance(found, InstancesNeeded) else found.rate
    for name in found.slos.names:
        unit, most = (1.0, 1.0) if name == GOODPUT else (1000.0, math.inf)
        points = [point for point in found.curve_points if math.isfinite(point.estimates[name].mean)]
        if not points:
            continue
        frame = pl.DataFrame(
            [
                {
                    "x": float(point.num_instances if of_instances else point.rate),
                    "value": point.estimates[name].mean / unit,
                    "low": finite(max(point.estimates[name].low / unit, 0.0)),
                    "high": finite(min(point.estimates[name].high / unit, most)),
                    "kind": next(iter(_KINDS)) if point.meets else list(_KINDS)[1],
                    "backlog": point.backlog,
                    "requests": point.num_requests,
                    "runs": len(point.samples),
                }
                for point in points
            ],
            schema_overrides={"low": pl.Float64, "high": pl.Float64},
        )
        limits = [Limit(found.slos.limit(name) / unit, f"limit of {name}")]
        if at is not None:
            limits.append(Limit(float(at), "fewest instances" if of_instances else "capacity", is_upright=True))
        yield Chart(
            f"curve-{name.replace('_', '-')}",
            limit_text(found.slos, name),
            against(
                frame,
                "instances" if of_instances else f"{found.unit} per second",
                "share of requests" if name == GOODPUT else f"{name}, ms",
                _KINDS,
                limits,
                {"backlog": "backlog", "requests": "requests in a run", "runs": "runs"},
            ),
            "Dashed: the limit, and the answer. The band is the 95 % interval over the runs of a point.",
            "full" if len(found.slos.names) == 1 else "half",
        )


def _table(found: Capacity | InstancesNeeded) -> Table:
    names = found.slos.names
    heads = [f"{found.unit}/s", "instances", *(name if name == GOODPUT else f"{name}, ms" for name in names)]
    return Table(
        [*heads, "backlog", "worst SLO, of its limit", "requests in a run", "runs", "SLOs"],
        [_cells(point, names) for point in found.curve_points],
        is_sortable=True,
    )


def _cells(point: Point, names: Sequence[str]) -> list[Cell]:
    figures: list[Cell] = [
        percent(point.estimates[name].mean) if name == GOODPUT else finite(point.estimates[name].mean / 1000)
        for name in names
    ]
    worst = max(point.strains.values())
    early = " (stopped early)" if point.stopped_early else ""
    return [
        *(f"{point.rate:,.5g}", point.num_instances),
        *figures,
        *(point.backlog, percent(worst) if math.isfinite(worst) else None),
        *(point.num_requests, len(point.samples)),
        ("met" if point.meets else "missed") + early,
    ]
