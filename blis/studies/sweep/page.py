"""The page of a sweep: all points at once, what each setting does, and throughput against latency (docs/report.md)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from blis.errors import InputError
from blis.files.parquet import frame_of, read_table
from blis.outcomes.metrics.steady_state import VERDICTS
from blis.report.charting import BLUE, GREY, MOST_POINTS, ORANGE, sample
from blis.report.configuration import configuration
from blis.report.figure_charts import Axis, against, is_wide, on_front, tradeoff
from blis.report.page import Cell, Chart, Page, Section, Table, Tile, Tiles
from blis.report.tables import number
from blis.studies.sweep.charts import MOST_VALUES, heat, parallel, text_of
from blis.studies.sweep.mark import MARK, is_swept
from blis.studies.sweep.table import RUN_COLUMNS, STATE_COLUMNS

if TYPE_CHECKING:
    import polars as pl

#: Figures that charts and tables show, and their titles.
FIGURES = {
    "ttft_p99_ms": "p99 TTFT, ms",
    "itl_p99_ms": "p99 ITL, ms",
    "e2e_p99_ms": "p99 E2E, ms",
    "tokens_per_sec": "output tokens/s",
}
#: The latencies among them, each of which is traded for throughput.
_LATENCIES = ("ttft_p99_ms", "itl_p99_ms")
_THROUGHPUT = "tokens_per_sec"
_KINDS = {VERDICTS[True]: BLUE, VERDICTS[False]: ORANGE, VERDICTS[None]: GREY}
#: Lines across parallel axes, rows of tables, and settings that have charts of their own, at most.
_MOST_LINES, _MOST_ROWS, _MOST_SETTINGS, _MOST_PAIRS = 500, 50, 6, 3


class Swept(NamedTuple):
    """A sweep's table, digested.

    Attributes:
        runs: a row per run, as the table has it.
        points: a row per point: settings, means of the figures over its replications, ``runs``, ``kind``.
        settings: columns of settings that differ between points.
        about: the metadata of the table.
    """

    runs: pl.DataFrame
    points: pl.DataFrame
    settings: Sequence[str]
    about: Mapping[str, Any]


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


def read_swept(path: Path) -> Swept:
    """Read a sweep's table.

    Raises:
        InputError: it cannot be read, or is of something else.
    """
    import pyarrow as pa
    from polars.exceptions import PolarsError

    if not is_swept(path):
        raise InputError(f"{path}: not a table that blis sweep wrote")
    try:
        table = read_table(path)
        runs = frame_of(table)
        return _digested(runs, json.loads(table.schema.metadata[MARK]))
    except (PolarsError, pa.ArrowException, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no longer as blis sweep wrote it: {str(error).splitlines()[0]}") from None


def _digested(runs: pl.DataFrame, about: Mapping[str, Any]) -> Swept:
    import polars as pl

    keys = runs.columns[len(RUN_COLUMNS) : runs.columns.index(STATE_COLUMNS[0])]
    settings = [name for name in keys if runs[name].n_unique() > 1]
    figures = [name for name in FIGURES if name in runs.columns and runs[name].null_count() < len(runs)]
    kind = pl.col("steady_state").drop_nulls()
    points = runs.group_by("point", maintain_order=True).agg(
        *(pl.col(name).first() for name in settings),
        *(pl.col(name).mean() for name in figures),
        pl.col("status").eq("ok").sum().alias("runs"),
        # what most of its runs say
        kind.mode().sort().first().fill_null(VERDICTS[None]).alias("kind"),
    )
    return Swept(runs, points.with_columns(pl.col("kind").fill_null(VERDICTS[None])), settings, about)


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
        Section("All points", list(_overview(swept))),
        Section("Settings", list(_settings(swept))),
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


def _complete(swept: Swept) -> pl.DataFrame:
    """Points with a run that came to its end."""
    import polars as pl

    return swept.points.filter(pl.col("runs") > 0)


def _overview(swept: Swept) -> Iterator[Chart]:
    points = _complete(swept)
    figures = {name: title for name, title in FIGURES.items() if name in points.columns}
    if len(points) < 2 or not swept.settings:
        return
    drawn = points[sample(len(points), _MOST_LINES).tolist()]
    axes = {name: name for name in swept.settings[:_MOST_SETTINGS]} | figures
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


def _settings(swept: Swept) -> Iterator[Chart]:
    points, settings = _complete(swept), swept.settings[:_MOST_SETTINGS]
    if len(points) < 2:
        return
    if len(settings) == 1 and points[settings[0]].dtype.is_numeric():
        yield from _lines(swept, settings[0])
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
                    heat(cells, x, y, title, order),
                    "Means over all points of a cell, whatever their other settings.",
                    "third",
                )


def _lines(swept: Swept, setting: str) -> Iterator[Chart]:
    """Each figure against the only setting that differs."""
    import polars as pl

    from blis.outcomes.statistics.estimates import replications

    for name, title in FIGURES.items():
        rows = []
        for point in _complete(swept).iter_rows(named=True):
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
                against(frame, setting, title, _KINDS, tips={"kind": "steady state", "runs": "runs"}),
                "The band is the 95 % interval over the replications." if frame["low"].count() else "",
                "half",
            )


def _cells(points: pl.DataFrame, x: str, y: str, figure: str) -> tuple[pl.DataFrame, tuple[list[str], list[str]]]:
    """Means of a figure over two settings, numbers of many values in bins."""
    import polars as pl

    (x_texts, x_order), (y_texts, y_order) = (_binned(points[name]) for name in (x, y))
    frame = pl.DataFrame({"x": x_texts, "y": y_texts, "value": points[figure], "runs": points["runs"]})
    cells = (
        frame.drop_nulls("value")
        .group_by("x", "y", maintain_order=True)
        .agg(pl.col("value").mean(), pl.col("runs").sum())
    )
    return cells, (x_order, y_order)


def _binned(values: pl.Series) -> tuple[list[str], list[str]]:
    """Texts of values, and these texts in order."""
    distinct = values.unique().sort().to_list()
    if len(distinct) <= MOST_VALUES or not values.dtype.is_numeric():
        return [text_of(value) for value in values], [text_of(value) for value in distinct]
    edges = [distinct[len(distinct) * place // 6] for place in range(6)] + [distinct[-1]]
    names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)]
    return [names[max(sum(value >= edge for edge in edges[:-1]) - 1, 0)] for value in values], names


def _tradeoffs(swept: Swept) -> Iterator[Chart]:
    import polars as pl

    points = _complete(swept)
    if len(points) < 2 or _THROUGHPUT not in points.columns:
        return
    named = [
        ", ".join(f"{key}={text_of(point[key])}" for key in swept.settings) for point in points.iter_rows(named=True)
    ]
    drawn = pl.int_range(pl.len()).is_in(sample(len(points), MOST_POINTS).tolist())
    for name in _LATENCIES:
        if name not in points.columns:
            continue
        front = on_front(-points[_THROUGHPUT].to_numpy(), points[name])
        frame = points.with_columns(pl.Series("on_front", front), pl.Series("name", named))
        yield Chart(
            f"front-{name}".replace("_", "-"),
            f"{FIGURES[name].partition(',')[0]} against throughput",
            tradeoff(
                frame.filter(pl.col("on_front") | drawn),
                Axis(_THROUGHPUT, FIGURES[_THROUGHPUT]),
                Axis(name, FIGURES[name]),
                _KINDS,
                {"kind": "steady state", "runs": "runs"},
            ),
            "Dotted: points that no other one beats in both (the Pareto front).",
            "half",
        )


def _table(swept: Swept) -> Table:
    points = swept.points
    figures = [name for name in FIGURES if name in points.columns]
    shown = points.head(_MOST_ROWS)
    rows: list[list[Cell]] = [
        [
            point["point"],
            *("" if point[name] is None else text_of(point[name]) for name in swept.settings),
            point["runs"],
            *(point[name] for name in figures),
            point["kind"] if point["runs"] else "",
        ]
        for point in shown.iter_rows(named=True)
    ]
    cut = f"The first {_MOST_ROWS} of {len(points):,}; the Parquet file has all. " if len(points) > _MOST_ROWS else ""
    heads = ["point", *swept.settings, "runs", *(FIGURES[name] for name in figures), "steady state"]
    return Table(heads, rows, note=cut + "Means over the replications of each point.")


def _reasons(runs: pl.DataFrame) -> Table:
    rows = [[row["point"], row["replication"], row["error"]] for row in runs.head(_MOST_ROWS).iter_rows(named=True)]
    cut = f"The first {_MOST_ROWS} of {len(runs):,}." if len(runs) > _MOST_ROWS else ""
    return Table(["point", "replication", "error"], rows, note=cut)
