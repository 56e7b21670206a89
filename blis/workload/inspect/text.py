"""Figures of a trace as text for a terminal, with small charts of bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BARS = " ▁▂▃▄▅▆▇█"
_LENGTH_COLUMNS = ("mean", "p50", "p90", "p95", "p99", "min", "max", "total")
_REASONS = {"without_prompt": "without a prompt", "unanswered": "unanswered", "bad": "wrong", "failed": "failed"}


def as_text(figures: Mapping[str, Any]) -> str:
    """Show what `blis.workload.inspect.survey.inspect_trace` found."""
    left_out = [f"{count:,} {_REASONS[reason]}" for reason, count in figures["left_out"].items() if count]
    lines = [
        f"{figures['file']} ({figures['format']})",
        "",
        _line("requests", f"{figures['requests']:,}" + (f" (left out: {', '.join(left_out)})" if left_out else "")),
    ]
    if figures["without_output"]:
        lines.append(_line("", f"{figures['without_output']:,} of them without output"))
    lines += [_line("" if place else "assumed", text) for place, text in enumerate(figures["assumed"])]
    lines += _arrivals(figures["arrivals"])
    lines += ["", *_lengths(figures)]
    return "\n".join([*lines, "", _line("sharing", _sharing(figures["prefix_sharing"]))])


def bars(values: Sequence[float | None]) -> str:
    """A chart of one line: a bar per value, the highest for the largest; a space for 0 and None."""
    most = max((value for value in values if value is not None), default=0.0)
    if most <= 0:
        return " " * len(values)
    steps = len(_BARS) - 1
    return "".join(_BARS[-int(-steps * (value or 0.0) // most)] for value in values)


def _lengths(figures: Mapping[str, Any]) -> list[str]:
    """A table whose columns are as wide as their figures, to fit into 80 columns."""
    sides = [[f"{figures[f'{side}_tokens'][name]:,.0f}" for name in _LENGTH_COLUMNS] for side in ("input", "output")]
    widths = [max(map(len, cells)) + 2 for cells in zip(_LENGTH_COLUMNS, *sides, strict=True)]
    rows = zip(("tokens", "input", "output"), (_LENGTH_COLUMNS, *sides), strict=True)
    return [_line(side, "".join(map(str.rjust, cells, widths))) for side, cells in rows]


def _arrivals(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return [_line("arrivals", "none; blis convert --rate draws some")]
    lines = [_line("span", f"{found['span_s']:,.3f} s, from {found['first_s']:,.3f} s to {found['last_s']:,.3f} s")]
    if found["rate_per_s"] is None:
        return lines
    rates, cvs = found["window_rate_per_s"], found["window_gap_cv"]
    dispersion = ", ".join(
        f"{value:,.2f} over {name.replace('_', ' ')}"
        for name, value in found["dispersion"].items()
        if value is not None
    )
    lines += [
        _line("rate", f"{found['rate_per_s']:,.3f} requests/s"),
        _line("gap CV", f"{_figure(found['gap_cv'])} (1: Poisson, more: bursty)"),
        _line("dispersion", dispersion or "too short to say"),
        "",
        f"over time, in windows of {found['window_s']:,.4g} s",
        _line("rate", bars(rates)),
        _line("", f"{min(rates):,.3g} to {max(rates):,.3g} requests/s"),
    ]
    known = [value for value in cvs if value is not None]
    if known:
        lines += [_line("gap CV", bars(cvs)), _line("", f"{min(known):.2f} to {max(known):.2f}")]
    return lines


def _sharing(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not known, the trace has lengths only"
    return (
        f"{found['hit_share']:.1%} of the prompt tokens were in an earlier request's prefix, in blocks of"
        f" {found['block_tokens']}; {found['requests_with_hit']:.1%} of the requests have some"
    )


def _line(name: str, value: str) -> str:
    return f"{name:<12}{value}".rstrip()


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
