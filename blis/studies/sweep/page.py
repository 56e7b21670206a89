"""The page of a sweep: the best points, what each setting does, and throughput against latency (docs/report.md)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blis.outcomes.metrics.steady_state import VERDICTS
from blis.report.charting import BLUE, GREY, MOST_POINTS, ORANGE, sample
from blis.report.configuration import configuration
from blis.report.figure_charts import Axis, against, is_wide, on_front, tradeoff
from blis.report.page import Cell, Chart, Page, Section, Table, Tile, Tiles
from blis.report.tables import number, percent
from blis.studies.sweep.charts import binned, effects, heat, parallel, text_of
from blis.studies.sweep.ranking import Ranking, ranking, shares
from blis.studies.sweep.swept import FIGURES, THROUGHPUT, Swept, read_swept, title_of

if TYPE_CHECKING:
    import polars as pl

#: Latencies that are traded for throughput.
_LATENCIES = ("ttft_p99_ms", "itl_p99_ms")
_KINDS = {VERDICTS[True]: BLUE, VERDICTS[False]: ORANGE, VERDICTS[None]: GREY}
#: Lines across parallel axes, and settings and pairs of them that have charts of their own, at most.
_MOST_LINES, _MOST_SETTINGS, _MOST_PAIRS = 500, 6, 3
#: Rows of the ranking, of the table of points, and of reasons, at most.
_MOST_RANKED, _MOST_ROWS, _MOST_REASONS = 20, 500, 50


def write_sweep_report(table: str | Path, path: str | Path, command: Sequence[str] = ()) -> None:
    """Write the page of a sweep, one HTML file with everything inside.

    Args:
        table: Parquet file that a sweep wrote.
        path: of the page.
        command: arguments of ``blis`` that make the same; empty: not known.

    Raises:
        InputError: the table cannot be read, or is of something else, or the extra ``plots`` is not installed.
    """
    from blis.report.page import write_page

    write_page(sweep_page(read_swept(Path(table)), command), Path(path))


def sweep_page(swept: Swept, command: Sequence[str] = ()) -> Page:
    """Put the page together.

    Args:
        swept: the sweep.
        command: arguments of ``blis`` that make the same; empty: not known.
    """
    import polars as pl

    runs, points = swept.runs, swept.points
    failed, refused = (runs.filter(pl.col("status") == status) for status in ("failed", "refused"))
    sections = [
        Section("", [Tiles(list(_tiles(swept)))]),
        Section("Ranking", list(_ranked(swept))),
        Section("Main effects", list(_effects(swept))),
        Section("All points", list(_overview(swept))),
        Section("Pairs of settings", list(_pairs(swept))),
        Section("Throughput against latency", list(_tradeoffs(swept))),
        Section("Points", [_table(swept)]),
        Section("Failures", [_reasons(failed)] if len(failed) else []),
        Section("Points that cannot run", [_reasons(refused)] if len(refused) else []),
        configuration(
            {"blis_version": swept.about.get("blis_version"), **swept.about.get("sweep", {})},
            command,
            title="The sweep file",
        ),
    ]
    varied = ", ".join(swept.settings) or "nothing"
    verdict = f"{len(points):,} points, {len(runs):,} runs"
    overloaded = points["kind"].eq(VERDICTS[False]).sum()
    if overloaded:
        verdict += f"; overloaded at {overloaded:,} point{'s' if overloaded > 1 else ''}"
    if len(failed):
        verdict += f"; {len(failed):,} run{'s' if len(failed) > 1 else ''} failed"
    if len(refused):
        count = refused["point"].n_unique()
        verdict += f"; {count:,} point{'s' if count > 1 else ''} cannot run"
    return Page("Sweep", verdict, [section for section in sections if section.parts], [f"Varied: {varied}."])


def _tiles(swept: Swept) -> Iterator[Tile]:
    runs, points = swept.runs, swept.points
    failed = int(runs["status"].eq("failed").sum())
    yield Tile("Runs", [("", f"{len(runs):,}")], f"{len(points):,} points", "")
    yield Tile("Failed", [("", f"{failed:,}")], "", "bad" if failed else "")
    for name, title in FIGURES.items():
        if name in points.columns:
            values = points[name].drop_nulls().to_numpy()
            ends = [("lowest", number(float(values.min()))), ("highest", number(float(values.max())))]
            yield Tile(title, ends, "means over the replications of a point")


def _overview(swept: Swept) -> Iterator[Chart]:
    points = swept.complete()
    figures = swept.figures
    if len(points) < 2 or not swept.settings:
        return
    drawn = points[sample(len(points), _MOST_LINES).tolist()]
    axes = {name: title_of(name) for name in swept.settings[:_MOST_SETTINGS]} | figures
    numeric = [name for name in axes if points[name].dtype.is_numeric()]
    wide = [name for name in numeric if is_wide(points[name].drop_nulls().to_numpy())]
    notes = [
        "A line is a point of the sweep; hovering over where it crosses an axis tells its figures, means "
        "over its replications."
    ]
    if len(drawn) < len(points):
        notes.append(f"Drawn are {len(drawn):,} of {len(points):,} points, evenly spread.")
    if len(swept.settings) > _MOST_SETTINGS:
        notes.append(f"Settings without an axis: {', '.join(swept.settings[_MOST_SETTINGS:])}.")
    if wide:
        notes.append(f"Logarithmic: {', '.join(axes[name] for name in wide)}.")
    yield Chart("parallel", "Settings and figures of each point", parallel(drawn, axes, _KINDS, wide), " ".join(notes))


def _ranked(swept: Swept) -> Iterator[Table]:
    if not _can_rank(swept):
        return
    found = ranking(swept)
    rows: list[list[Cell]] = [
        [
            place,
            *(_setting(row[name]) for name in found.settings),
            row["place"],
            *(row[name] for name in swept.figures),
            *([f"{row['overloaded']} of {row['points']}"] if found.of_load else ["yes" if row["overloaded"] else ""]),
        ]
        for place, row in enumerate(found.rows.head(_MOST_RANKED).iter_rows(named=True), start=1)
    ]
    heads = ["place", *map(title_of, found.settings), "mean place", *swept.figures.values(), "overloaded"]
    yield Table(
        heads,
        rows,
        note=_ranking_note(found, swept),
        is_sortable=True,
    )


def _can_rank(swept: Swept) -> bool:
    return bool(swept.settings and swept.figures) and len(swept.complete()) > 1


def _ranking_note(found: Ranking, swept: Swept) -> str:
    figures = [title.partition(",")[0] for title in swept.figures.values()]
    among = f"all points with the same {', '.join(found.of_load)}" if found.of_load else "all points"
    count = len(found.rows)
    return (
        (f"The first {_MOST_RANKED} of {count:,}. " if count > _MOST_RANKED else "")
        + f"By the mean of the places that a point has among {among} in {', '.join(figures)}; one that is overloaded "
        "has the last place." + (" Figures are means over those loads." if found.of_load else "")
    )


def _effects(swept: Swept) -> Iterator[Table | Chart]:
    points, settings = swept.complete(), swept.settings[:_MOST_SETTINGS]
    if not _can_rank(swept):
        return
    found = shares(swept)
    heads = ["setting", *swept.figures.values()]
    yield Table(
        heads,
        [[title_of(name), *(percent(each[figure]) for figure in swept.figures)] for name, each in found.items()],
        title="Share of the variation that a setting explains by itself",
        note="η²: variation between the means of its values, relative to that between all points. What is missing to "
        "100 % is other settings, and what they do together; where points are few, some of it is chance.",
        is_sortable=True,
    )
    if len(settings) == 1 and points[settings[0]].dtype.is_numeric():
        yield from _lines(swept, settings[0])
        return
    for name, title in swept.figures.items():
        levels = _levels(points, settings, name)
        if len(levels):
            yield Chart(
                f"effects-{name}".replace("_", "-"),
                f"{title} by setting",
                effects(levels, title),
                "Means over all points with a value, whatever their other settings; the line is the mean of all.",
                "half",
            )


def _levels(points: pl.DataFrame, settings: Sequence[str], figure: str) -> pl.DataFrame:
    """Mean of a figure at each value of each setting, numbers of many values in bins."""
    import polars as pl

    frames = []
    for setting in settings:
        texts, order = binned(points[setting])
        means = (
            pl.DataFrame({"level": texts, "value": points[figure].cast(pl.Float64)})
            .drop_nulls("value")
            .group_by("level")
            .agg(pl.col("value").mean(), pl.len().alias("points"))
        )
        place = pl.col("level").replace_strict({text: place for place, text in enumerate(order)})
        frames.append(means.sort(place).select(pl.lit(setting).alias("setting"), "level", "value", "points"))
    return pl.concat(frames)


def _pairs(swept: Swept) -> Iterator[Chart]:
    points, settings = swept.complete(), swept.settings[:_MOST_SETTINGS]
    if len(points) < 2:
        return
    pairs = list(itertools.combinations(settings, 2))[:_MOST_PAIRS]
    for x, y in pairs:
        for name, title in FIGURES.items():
            if name == "e2e_p99_ms" or name not in points.columns:
                continue
            cells, order = _cells(points, x, y, name)
            if len(cells):
                yield Chart(
                    f"heat-{x}-{y}-{name}".replace("_", "-"),
                    f"{title} by {x} and {y}",
                    heat(cells, title_of(x), title_of(y), title, order),
                    "Means over all points of a cell, whatever their other settings.",
                    "third",
                )


def _lines(swept: Swept, setting: str) -> Iterator[Chart]:
    """Each figure against the only setting that differs."""
    import polars as pl

    from blis.outcomes.statistics.estimates import replications

    for name, title in FIGURES.items():
        rows = []
        for point in swept.complete().iter_rows(named=True):
            values = swept.runs.filter(pl.col("point") == point["point"])[name].drop_nulls().to_numpy()
            if len(values) == 0:
                continue
            found = replications(values)
            ends = (found.low, found.high) if len(values) > 1 else (None, None)
            rows.append(
                {
                    "x": float(point[setting]),
                    "value": found.mean,
                    "low": ends[0],
                    "high": ends[1],
                    "kind": point["kind"],
                    "runs": len(values),
                }
            )
        if rows:
            frame = pl.DataFrame(rows, schema_overrides={"low": pl.Float64, "high": pl.Float64})
            yield Chart(
                f"line-{name}".replace("_", "-"),
                f"{title} against {setting}",
                against(frame, title_of(setting), title, _KINDS, tips={"kind": "steady state", "runs": "runs"}),
                "The band is the 95 % interval over the replications." if frame["low"].count() else "",
                "half",
            )


def _cells(points: pl.DataFrame, x: str, y: str, figure: str) -> tuple[pl.DataFrame, tuple[list[str], list[str]]]:
    """Means of a figure over two settings, numbers of many values in bins."""
    import polars as pl

    (x_texts, x_order), (y_texts, y_order) = (binned(points[name]) for name in (x, y))
    frame = pl.DataFrame({"x": x_texts, "y": y_texts, "value": points[figure], "runs": points["runs"]})
    cells = (
        frame.drop_nulls("value")
        .group_by("x", "y", maintain_order=True)
        .agg(pl.col("value").mean(), pl.col("runs").sum())
    )
    return cells, (x_order, y_order)


def _tradeoffs(swept: Swept) -> Iterator[Chart]:
    import polars as pl

    points = swept.complete()
    if len(points) < 2 or THROUGHPUT not in points.columns:
        return
    named = [
        ", ".join(f"{key}={text_of(point[key])}" for key in swept.settings) for point in points.iter_rows(named=True)
    ]
    drawn = pl.int_range(pl.len()).is_in(sample(len(points), MOST_POINTS).tolist())
    for name in _LATENCIES:
        if name not in points.columns:
            continue
        front = on_front(-points[THROUGHPUT].to_numpy(), points[name])
        frame = points.with_columns(pl.Series("on_front", front), pl.Series("name", named))
        yield Chart(
            f"front-{name}".replace("_", "-"),
            f"{FIGURES[name].partition(',')[0]} against throughput",
            tradeoff(
                frame.filter(pl.col("on_front") | drawn),
                Axis(THROUGHPUT, FIGURES[THROUGHPUT]),
                Axis(name, FIGURES[name]),
                _KINDS,
                {"kind": "steady state", "runs": "runs"},
            ),
            "Dotted: points that no other one beats in both (the Pareto front).",
            "half",
        )


def _table(swept: Swept) -> Table:
    points = _best_first(swept)
    rows: list[list[Cell]] = [
        [
            point["point"],
            *(_setting(point[name]) for name in swept.settings),
            point["runs"],
            *(point[name] for name in swept.figures),
            point["kind"] if point["runs"] else "",
        ]
        for point in points.head(_MOST_ROWS).iter_rows(named=True)
    ]
    cut = f"The first {_MOST_ROWS} of {len(points):,}; the Parquet file has all. " if len(points) > _MOST_ROWS else ""
    heads = ["point", *map(title_of, swept.settings), "runs", *swept.figures.values(), "steady state"]
    note = cut + "In the order of the ranking; a click on a heading sorts. Means over the replications of each point."
    return Table(heads, rows, note=note, is_sortable=True)


def _best_first(swept: Swept) -> pl.DataFrame:
    """All points in the order of the ranking, those that never ran behind them."""
    points = swept.points
    if not _can_rank(swept):
        return points
    found = ranking(swept)
    places = found.rows.select(*found.settings).with_row_index("ranked")
    return points.join(places, on=found.settings, how="left", nulls_equal=True, maintain_order="left").sort(
        "ranked", nulls_last=True, maintain_order=True
    )


def _setting(value: object) -> str:
    return "" if value is None else text_of(value)


def _reasons(runs: pl.DataFrame) -> Table:
    rows = [[row["point"], row["replication"], row["error"]] for row in runs.head(_MOST_REASONS).iter_rows(named=True)]
    cut = f"The first {_MOST_REASONS} of {len(runs):,}." if len(runs) > _MOST_REASONS else ""
    return Table(["point", "replication", "error"], rows, note=cut)
