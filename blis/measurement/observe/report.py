"""A measurement's figures for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from blis.report.run_table import LATENCIES, latency_table
from blis.report.tables import number, pairs

#: Counts that are shown only if there are any.
_RARE = {
    "error": "failed",
    "timeout": "timed out",
    "not_sent": "not sent",
    "warm_up_requests": "warm-up",
    "waited_for_a_slot": "waited for a slot",
    "missing_usage": "answers without token counts",
    "unreadable_chunks": "chunks that are no JSON",
}


def text(summary: Mapping[str, Any]) -> Iterator[Any]:
    """What rich prints of a measurement.

    Args:
        summary: of `blis.measurement.observe.summary.summarise`.
    """
    from rich.text import Text

    yield Text(_verdict(summary), style="bold")
    yield Text("")
    yield latency_table(summary, LATENCIES)
    yield Text("")
    yield pairs("Totals", _totals(summary))
    if summary["errors"]:
        yield Text("")
        yield pairs("Errors", ((f"{count:,}", message) for message, count in summary["errors"].items()))


def _verdict(summary: Mapping[str, Any]) -> str:
    parts = [f"{summary['ok']:,} of {summary['requests']:,} requests answered"]
    if summary["interrupted"]:
        parts.insert(0, "interrupted")
    if summary["saturated"]:
        parts.append(f"not the load asked for ({summary['saturated_by'].replace('_', ' ')})")
    if summary["ttft_p99_ms"] is not None:
        parts.append(f"p99 TTFT {number(summary['ttft_p99_ms'], 0)} ms")
    return "; ".join(parts)


def _totals(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Counts, rates and lateness, each with its name."""
    yield "judged requests", f"{summary['judged']:,} of {summary['sent']:,} sent"
    for key, name in _RARE.items():
        if summary[key]:
            yield name, f"{summary[key]:,}"
    yield "sent requests/s", number(summary["sent_per_sec"], 2)
    yield "answered requests/s", number(summary["responses_per_sec"], 2)
    yield "output tokens/s", number(summary["tokens_per_sec"], 1)
    yield "tokens", f"{summary['total_input_tokens']:,} input, {summary['total_output_tokens']:,} output"
    yield "duration", f"{number(summary['duration_s'], 2)} s"
    late = (number(summary[f"lateness_{name}_ms"], 2) for name in ("p50", "p99", "max"))
    yield "lateness", "p50 {} ms, p99 {} ms, most {} ms".format(*late)
