"""The page of a calibration: how far predictions are off, in figures and charts (docs/report.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from blis.measurement.calibrate.calibrating import Calibration
from blis.measurement.calibrate.pairing import Pairs
from blis.measurement.calibrate.plots import curves, metrics_of, over_time, scatter
from blis.measurement.calibrate.report import METRICS
from blis.report.calibration_table import verdict
from blis.report.charting import spec
from blis.report.configuration import command_lines
from blis.report.page import Chart, Finding, Findings, Page, Part, Section, Table, Text, Tile, Tiles
from blis.report.tables import number, percent

_FIGURES = ("mean", "p50", "p90", "p99")
_WIDTH = 400  # the page sets its own


def page_of(calibration: Calibration, command: Sequence[str] = ()) -> Page:
    """Put the page together.

    Args:
        calibration: what was found.
        command: arguments of ``blis`` that make the same; empty: not known.
    """
    report, pairs = calibration.report, calibration.pairs
    warnings = [*report["not_meaningful_because"], *report["notes"], *_other_settings(report)]
    sections = [
        Section("", [_tiles(report)]),
        Section("To be aware of", [Findings([Finding("", text) for text in warnings])] if warnings else []),
        Section("Measured and simulated", [*_charts(pairs), _sides(report["metrics"])]),
        Section(
            "Over time",
            [
                Chart(
                    "errors",
                    "Relative error, and requests in flight when each was sent",
                    spec(over_time(pairs, calibration.in_flight, _WIDTH)),
                    "Above 0: the simulation took longer.",
                )
            ],
        ),
        Section("Groups", list(_groups(report))),
        Section("Limits", [Text(text) for text in report["known_limitations"]]),
        Section("Command", command_lines(command)),
    ]
    info = report["trace_info"]
    about = (
        f"{info['compared_pairs']:,} of {info['num_requests']:,} requests compared over {info['duration_s']:,.1f} s."
    )
    return Page("Calibration", verdict(report), [section for section in sections if section.parts], [about])


def _tiles(report: Mapping[str, Any]) -> Tiles:
    metrics = report["metrics"]
    tiles = [
        Tile(
            f"{name.upper()}, mean error",
            [("", percent(found["mape"]))],
            f"{found['quality']}; {found['count']:,} pairs",
        )
        for name, found in ((name, metrics[name]) for name in METRICS)
        if found is not None
    ]
    ratio = metrics["throughput"]["ratio"]
    return Tiles([*tiles, Tile("Throughput", [("", number(ratio, 3))], "simulated through measured")])


def _other_settings(report: Mapping[str, Any]) -> Iterator[str]:
    for name, values in report["config_match"]["different"].items():
        yield f"{name}: server {values['server']}, simulation {values['simulation']}."


def _charts(pairs: Pairs) -> Iterator[Part]:
    for metric in metrics_of(pairs):
        title = f"{metric.upper()}: a point per request"
        yield Chart(f"pairs-{metric}", title, spec(scatter(pairs, metric)), "On the line both are equal.", "third")
    for metric in metrics_of(pairs):
        yield Chart(f"cdf-{metric}", f"{metric.upper()}: share of requests", spec(curves(pairs, metric)), "", "third")


def _sides(metrics: Mapping[str, Any]) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    for name, found in ((name, metrics[name]) for name in METRICS if metrics[name] is not None):
        sides = ("measured", "simulated")
        rows += [(f"{name.upper()}, ms", side, *(found[f"{side}_{each}_ms"] for each in _FIGURES)) for side in sides]
        rows.append(("", "error", *(percent(found[f"{each}_relative_error"], signed=True) for each in _FIGURES)))
    return Table(("", "side", *_FIGURES), rows)


def _groups(report: Mapping[str, Any]) -> Iterator[Part]:
    for title, key in (("SLO class", "slo_classes"), ("In flight", "load_regimes")):
        groups = report[key]
        if groups:
            rows = [
                (name, group["count"], metric.upper(), percent(found["mape"]), found["bias"] or "", found["quality"])
                for name, group in groups.items()
                for metric, found in ((metric, group[metric]) for metric in METRICS)
                if found is not None
            ]
            yield Table((title, "requests", "metric", "mean error", "bias", "quality"), rows)
