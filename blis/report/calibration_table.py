"""The report of a calibration as tables for a terminal (docs/calibrate.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from blis.outcomes.metrics.calibration import correlation_counts
from blis.report.tables import number, percent, render, table

if TYPE_CHECKING:
    from rich.table import Table

_TITLES = {"ttft": "TTFT (ms)", "e2e": "E2E (ms)", "tpot": "TPOT (ms)"}
_FIGURES = ("mean", "p50", "p90", "p99")


def calibration_table(report: Mapping[str, Any]) -> str:
    """Show what `blis.measurement.calibrate.report.build_report` found; coloured only on a terminal."""
    return render(calibration_parts(report))


def calibration_parts(report: Mapping[str, Any]) -> Iterator[Any]:
    """The same, as things that `rich` prints."""
    from rich.text import Text

    yield Text(verdict(report), style="bold")
    for reason in report["not_meaningful_because"]:
        yield Text(f"- {reason}")
    for note in report["notes"]:
        yield Text(note)
    yield Text(_counts(report["trace_info"]))
    sections = [_sides(report["metrics"]), _agreements(report["metrics"])]
    if report["slo_classes"]:
        sections.append(_groups("SLO class", report["slo_classes"]))
    sections.append(_groups("In flight", report["load_regimes"]))
    for section in sections:
        yield Text("")
        yield section
    different = report["config_match"]["different"]
    if different:
        yield Text("")
        for name, values in different.items():
            yield Text(f"{name}: server {values['server']}, simulation {_word(values['simulation'])}")


def verdict(report: Mapping[str, Any]) -> str:
    """One line: how good the prediction of each metric is."""
    grades = ", ".join(
        f"{name.upper()} {found['quality']} ({percent(found['mape'])})"
        for name, found in _durations(report["metrics"]).items()
        if found is not None
    )
    return grades if report["meaningful"] else f"Not meaningful: {grades}"


def _counts(info: Mapping[str, Any]) -> str:
    left_out = {
        "warm-up": info["warm_up_excluded"],
        "unmatched": info["unmatched_real"],
        "failed": info["failed"],
        "with other tokens": info["token_mismatches"],
    }
    parts = [f"{count:,} {what}" for what, count in left_out.items() if count]
    shown = f"{info['compared_pairs']:,} of {info['num_requests']:,} requests compared over {info['duration_s']:,.1f} s"
    return f"{shown} ({', '.join(parts)})" if parts else shown


def _sides(metrics: Mapping[str, Any]) -> Table:
    made = table("", "", *_FIGURES)
    for name, found in _durations(metrics).items():
        if found is None:
            continue
        for side in ("measured", "simulated"):
            values = [f"{found[f'{side}_{figure}_ms']:,.2f}" for figure in _FIGURES]
            made.add_row(_TITLES[name] if side == "measured" else "", side, *values)
        errors = [percent(found[f"{figure}_relative_error"], signed=True) for figure in _FIGURES]
        made.add_row("", "error", *errors, end_section=True)
    rate = metrics["throughput"]
    for side in ("measured", "simulated"):
        title = "Output tokens/s" if side == "measured" else ""
        made.add_row(title, side, number(rate[f"{side}_tokens_per_s"]), "", "", "")
    error = None if rate["ratio"] is None else rate["ratio"] - 1
    made.add_row("", "error", percent(error, signed=True), "", "", "")
    return made


def _agreements(metrics: Mapping[str, Any]) -> Table:
    made = table("", "pairs", "MAPE", "r", "bias", "quality", words=("bias", "quality"))
    for name, found in _durations(metrics).items():
        title = _TITLES[name].removesuffix(" (ms)")
        made.add_row(title, *(["0", *[""] * 4] if found is None else [f"{found['count']:,}", *_agreement(found)]))
    return made


def _groups(title: str, groups: Mapping[str, Any]) -> Table:
    made = table(title, "requests", "", "MAPE", "r", "bias", "quality", words=("", "bias", "quality"))
    for name, group in groups.items():
        label = name
        if "in_flight_min" in group:
            label += f" ({group['in_flight_min']} to {group['in_flight_max']})"
        known = {metric: group[metric] for metric in _TITLES if group[metric] is not None}
        for place, (metric, found) in enumerate(known.items()):
            first = (label, f"{group['count']:,}") if place == 0 else ("", "")
            is_last = place == len(known) - 1
            made.add_row(*first, metric.upper(), *_agreement(found), end_section=is_last)
    return made


def _durations(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in _TITLES}


def _agreement(found: Mapping[str, Any]) -> tuple[str, ...]:
    r = f"{found['pearson_r']:.3f}" if correlation_counts(found["variation"]) else "-"
    return percent(found["mape"]), r, found["bias"] or "-", found["quality"]


def _word(value: object) -> str:
    return "does not say" if value is None else str(value)
