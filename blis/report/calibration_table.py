"""The report of a calibration as tables for a terminal (docs/calibrate.md)."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_TITLES = {"ttft": "TTFT (ms)", "e2e": "E2E (ms)", "tpot": "TPOT (ms)"}
_FIGURES = ("mean", "p50", "p90", "p99")
#: More than the tables need, for where there is no terminal to ask.
_WIDTH = 100


def calibration_table(report: Mapping[str, Any]) -> str:
    """Show what `blis.calibration.report.build_report` found; coloured only on a terminal."""
    from rich.console import Console
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    text = io.StringIO()
    # rich asks the environment for the width of a terminal (COLUMNS) and whether colours are wanted (NO_COLOR)
    console = Console(
        file=text, force_terminal=is_terminal, width=None if is_terminal else _WIDTH, highlight=False, emoji=False
    )
    console.print(Text(_verdict(report), style="bold"))
    for reason in report["not_meaningful_because"]:
        console.print(Text(f"- {reason}"))
    for note in report["notes"]:
        console.print(Text(note))
    console.print(Text(_counts(report["trace_info"])))
    sections = [_sides(report["metrics"]), _agreements(report["metrics"])]
    if report["slo_classes"]:
        sections.append(_groups("SLO class", report["slo_classes"]))
    sections.append(_groups("In flight", report["load_regimes"]))
    for section in sections:
        console.print()
        console.print(section)
    different = report["config_match"]["different"]
    if different:
        console.print()
        for name, values in different.items():
            console.print(Text(f"{name}: server {values['server']}, simulation {_word(values['simulation'])}"))
    return text.getvalue()


def _verdict(report: Mapping[str, Any]) -> str:
    grades = ", ".join(
        f"{name.upper()} {found['quality']} ({_percent(found['mape'])})"
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
    table = _table("", "", *_FIGURES)
    for name, found in _durations(metrics).items():
        if found is None:
            continue
        for side in ("measured", "simulated"):
            values = [f"{found[f'{side}_{figure}_ms']:,.2f}" for figure in _FIGURES]
            table.add_row(_TITLES[name] if side == "measured" else "", side, *values)
        errors = [_percent(found[f"{figure}_relative_error"], signed=True) for figure in _FIGURES]
        table.add_row("", "error", *errors, end_section=True)
    rate = metrics["throughput"]
    for side in ("measured", "simulated"):
        title = "Output tokens/s" if side == "measured" else ""
        table.add_row(title, side, _number(rate[f"{side}_tokens_per_s"]), "", "", "")
    error = None if rate["ratio"] is None else rate["ratio"] - 1
    table.add_row("", "error", _percent(error, signed=True), "", "", "")
    return table


def _agreements(metrics: Mapping[str, Any]) -> Table:
    table = _table("", "pairs", "MAPE", "r", "bias", "quality", words=("bias", "quality"))
    for name, found in _durations(metrics).items():
        title = _TITLES[name].removesuffix(" (ms)")
        table.add_row(title, *(["0", *[""] * 4] if found is None else [f"{found['count']:,}", *_agreement(found)]))
    return table


def _groups(title: str, groups: Mapping[str, Any]) -> Table:
    table = _table(title, "requests", "", "MAPE", "r", "bias", "quality", words=("", "bias", "quality"))
    for name, group in groups.items():
        label = name
        if "in_flight_min" in group:
            label += f" ({group['in_flight_min']} to {group['in_flight_max']})"
        known = {metric: group[metric] for metric in _TITLES if group[metric] is not None}
        for number, (metric, found) in enumerate(known.items()):
            first = (label, f"{group['count']:,}") if number == 0 else ("", "")
            is_last = number == len(known) - 1
            table.add_row(*first, metric.upper(), *_agreement(found), end_section=is_last)
    return table


def _durations(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in _TITLES}


def _agreement(found: Mapping[str, Any]) -> tuple[str, ...]:
    return _percent(found["mape"]), f"{found['pearson_r']:.3f}", found["bias"] or "-", found["quality"]


def _table(*columns: str, words: tuple[str, ...] = ()) -> Table:
    """A table whose first column and those of words stand to the left, as second columns without a name do."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(columns):
        is_word = number == 0 or name in words or name == ""
        table.add_column(name, justify="left" if is_word else "right", no_wrap=True)
    return table


def _percent(value: float | None, *, signed: bool = False) -> str:
    return "-" if value is None else f"{100 * value:{'+' if signed else ''},.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _word(value: object) -> str:
    return "does not say" if value is None else str(value)
