"""The report of a run as tables for a terminal (docs/terminal.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blis.outcomes.metrics.activity import activity, busy_share
from blis.outcomes.metrics.cliffs import Cliff, cliffs
from blis.outcomes.metrics.latency import PERCENTILES
from blis.outcomes.metrics.steady_state import SteadyState
from blis.outcomes.outcomes import Outcomes
from blis.report.tables import number, pairs, percent, sparkline, table

if TYPE_CHECKING:
    from rich.table import Table

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
LATENCIES = {
    "ttft": "TTFT",
    "itl": "ITL",
    "tpot": "TPOT",
    "e2e": "E2E",
    "scheduling_delay": "Scheduling delay",
    "client_ttft": "Client TTFT",
    "client_e2e": "Client E2E",
}
#: Those without reason to differ much from one request to the next, but for what they wait for.
_EVEN = ("ttft", "itl", "tpot")
_SESSIONS = {
    "session_duration": "Duration of a session",
    "cold_ttft": "TTFT, first turns",
    "warm_ttft": "TTFT, later turns",
}
#: Counts of requests that are shown only if there are any.
_RARE = {
    "running_requests": "running at the end",
    "waiting_requests": "waiting at the end",
    "rejected_requests": "rejected by admission",
    "refused_too_long_requests": "refused: prompt too long",
    "refused_never_fits_requests": "refused: more than the KV cache",
    "not_arrived_requests": "not arrived before the end",
    "not_sent_requests": "not sent: session had ended",
}
_ANOMALIES = {
    "priority_inversions": "priority inversions",
    "hol_blocking_events": "HOL blocking events",
    "rejected_requests": "rejected requests",
}
_REGRETS = {
    "mean_regret": "regret, mean",
    "max_regret": "regret, max",
    "realised_samples": "realised samples",
    "realised_own_e2e_regret_mean_ms": "own E2E regret, mean (ms)",
    "realised_own_e2e_regret_max_ms": "own E2E regret, max (ms)",
    "realised_everyones_e2e_regret_mean_ms": "everyone's E2E regret, mean (ms)",
}
#: A backlog that grew until so short before the last arrival grew to the end, as a share of the time it took.
OPEN_END = 0.05
#: Characters of a sparkline.
_PARTS = 48


def verdict(outcomes: Outcomes, summary: Mapping[str, Any], load: float | None = None) -> str:
    """One line: whether the instances keep up, their load, and the tail of the time to first token.

    Args:
        outcomes: of the run.
        summary: its metrics block.
        load: share of what a full system answers; None: how busy they were stands in for it.
    """
    if not summary["completed_requests"]:
        what = "completed" if summary["injected_requests"] else "arrived"
        return f"{'interrupted; ' if summary['interrupted'] else ''}no request {what}: nothing was measured"
    found = outcomes.steady_state
    parts = list(_changing(found, load)) if found.has_changing_load else [f"{found.verdict}, {_share(outcomes, load)}"]
    if found.backlog.stable is False:
        parts.append(f"the backlog grows by {found.backlog.growth_per_s:.3g} requests/s")
    if summary["interrupted"]:
        parts.insert(0, "interrupted")
    if summary["ttft_p99_ms"] is not None:
        parts.append(f"p99 TTFT {number(summary['ttft_p99_ms'], 0)} ms")
    return "; ".join(parts)


def _share(outcomes: Outcomes, load: float | None) -> str:
    busy = busy_share(outcomes)
    return f"{number(busy and 100 * busy, 0)} % busy" if load is None else f"{number(100 * load, 0)} % of capacity"


def _changing(found: SteadyState, load: float | None) -> Iterator[str]:
    """The verdict on a load that changes, and what its peak is."""
    rate = found.load
    assert rate is not None
    if found.backlog.stable is False:
        yield f"overloaded {when_overloaded(found)}"
    yield f"load {rate.course}" if found.backlog.stable is not None else f"{found.verdict}, load {rate.course}"
    yield "at its peak " + (
        f"{number(rate.peak_per_s, 3 if rate.peak_per_s < 1 else 1)} requests/s"
        if load is None
        else f"{number(100 * load * rate.peak_per_s / rate.mean_per_s, 0)} % of capacity"
    )


def when_overloaded(found: SteadyState) -> str:
    """From when to when the backlog grew; no end if it did as long as requests came."""
    start_us, end_us = found.backlog.window_us
    digits = 0 if start_us >= 100e6 else 1
    if end_us >= found.last_arrival_us - OPEN_END * (found.last_arrival_us - start_us):
        return f"from {number(start_us / 1e6, digits)} s on"
    return f"from {number(start_us / 1e6, digits)} to {number(end_us / 1e6, digits)} s"


def run_tables(
    outcomes: Outcomes,
    summary: Mapping[str, Any],
    more: Mapping[str, Any],
    load: float | None = None,
    *,
    summarize_trace: bool,
) -> Iterator[Any]:
    """What rich prints of a run.

    Args:
        outcomes: of the run.
        summary: its metrics block.
        more: what there is besides, under the keys of the results file.
        load: as in `verdict`.
        summarize_trace: whether the summary of the decisions is shown.
    """
    from rich.text import Text

    yield Text(verdict(outcomes, summary, load), style="bold")
    sections = [
        latency_table(summary, LATENCIES),
        *_steady_state(outcomes),
        *_expected_error(more.get("expected_error")),
        pairs("Totals", totals(summary)),
        _over_time(outcomes),
        *_instances(more.get("instances", ())),
        *_classes(more.get("slo_classes", {})),
        *_sessions(more.get("sessions")),
        *_scores(more),
        *_anomalies(outcomes, summary, more["anomalies"]),
        *(_decisions(more["trace_summary"]) if summarize_trace and "trace_summary" in more else ()),
    ]
    for section in sections:
        yield Text("")
        yield section


def latency_rows(figures: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, list[str]]:
    """Mean and percentiles of those families that there are, by what people call them, all with as many decimals."""
    rows = {
        name: [figures[f"{key}_{statistic}_ms"] for statistic in STATISTICS]
        for key, name in names.items()
        if f"{key}_mean_ms" in figures
    }
    most = max((value for values in rows.values() for value in values if value is not None), default=0.0)
    decimals = 2 if most < 10_000 else 1 if most < 100_000 else 0  # five columns have to fit into 80 characters
    return {name: [number(value, decimals) for value in values] for name, values in rows.items()}


def latency_table(figures: Mapping[str, Any], names: Mapping[str, str], title: str = "Latency (ms)") -> Table:
    """`latency_rows` as a table."""
    made = table(title, *STATISTICS)
    for name, values in latency_rows(figures, names).items():
        made.add_row(name, *values)
    return made


def _steady_state(outcomes: Outcomes) -> Iterator[Table]:
    """What is known of the long run, if anything is."""
    rows = list(intervals(outcomes))
    if rows:
        yield pairs("Long run", rows)


def intervals(outcomes: Outcomes) -> Iterator[tuple[str, str]]:
    """Intervals of the means in steady state with their names, and what they were computed from."""
    found = outcomes.steady_state
    for name, estimate in (("TTFT", found.ttft), ("E2E", found.e2e)):
        if estimate is not None:
            ends = " to ".join(number(end_us / 1000, 2) for end_us in (estimate.low, estimate.high))
            size = number(estimate.effective_sample_size, 0)
            yield f"mean {name}, 95 %", f"{ends} ms (effective sample size {size})"
    if found.e2e is not None and found.warm_up_requests:
        yield "warm-up left out", f"{found.warm_up_requests:,} requests"


def _expected_error(expected: Mapping[str, Any] | None) -> Iterator[Table]:
    if expected is None:
        return
    title = f"Error to expect, {expected['load']}"
    made = table("", "typical", "1 in 10 above", "bias", "points", "measured on", words=("measured on",), title=title)
    for name, typical, p90, bias, points, of in expected_errors(expected):
        made.add_row(name, f"{typical:.0f} %", f"{p90:.0f} %", f"{bias:+.0f} %", f"{points}", of)
    yield made


def expected_errors(expected: Mapping[str, Any]) -> Iterator[tuple[str, float, float, float, int, str]]:
    """Of each figure its name, typical error, 90th percentile, bias, points, and what these have in common."""
    for key, error in expected.items():
        if key != "load":
            typical, p90, bias = (error[f"{size}_percent"] for size in ("typical", "p90", "bias"))
            of = error["of"].removesuffix(f", {expected['load']}")
            yield LATENCIES.get(key, key), typical, p90, bias, error["measured_points"], of


def totals(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Counts, rates and the KV cache, each with its name."""
    peak, total = summary["kv_blocks_peak"], summary["kv_blocks_total"]
    rows = [
        ("completed requests", f"{summary['completed_requests']:,} of {summary['injected_requests']:,} arrived"),
        *((name, f"{summary[key]:,}") for key, name in _RARE.items() if summary.get(key)),
        ("requests/s", number(summary["responses_per_sec"], 2)),
        ("output tokens/s", number(summary["tokens_per_sec"], 1)),
        ("tokens", f"{summary['total_input_tokens']:,} input, {summary['total_output_tokens']:,} output"),
        ("simulated time", f"{number(summary['vllm_estimated_duration_s'], 2)} s"),
        ("KV blocks, peak", f"{peak:,} of {total:,} ({percent(peak / total)})"),
        ("prefix cache hits", f"{percent(summary['cache_hit_rate'])} of prompt tokens"),
        ("preemptions", f"{summary['preemption_count']:,}"),
    ]
    if "simulation_duration_s" in summary:
        span = f"{summary['sim_start_timestamp']} to {summary['sim_end_timestamp']}"
        rows.append(("wall time", f"{number(summary['simulation_duration_s'], 2)} s, {span}"))
    return rows


def _over_time(outcomes: Outcomes) -> Table:
    found = activity(outcomes, _PARTS)
    made = table(f"Over {number(found.end_us[-1] / 1e6, 1)} s", "", "most")
    for name, values in (("running", found.running), ("waiting", found.waiting)):
        made.add_row(name, sparkline(values.tolist()), number(float(values.max()), 1))
    return made


def _instances(blocks: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    if not blocks:
        return
    made = table("Instance", "done", "tokens/s", "TTFT p99", "ITL p99", "E2E p99", "KV peak", "hits")
    for block in blocks:
        made.add_row(
            block["instance_id"].removeprefix("instance_"),
            f"{block['completed_requests']:,}",
            number(block["tokens_per_sec"], 0),
            *(number(block[f"{name}_p99_ms"], 1) for name in ("ttft", "itl")),
            number(block["e2e_p99_ms"], 0),
            percent(block["kv_blocks_peak"] / block["kv_blocks_total"]),
            percent(block["cache_hit_rate"]),
        )
    yield made


def _classes(classes: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    if not classes:
        return
    made = table("SLO class", "requests", "done", "TTFT p99", "TPOT p99", "E2E p99", "target", "met")
    for name, figures in classes.items():
        made.add_row(
            name,
            f"{figures['requests']:,}",
            f"{figures['completed']:,}",
            *(number(figures[f"{metric}_p99_ms"], 1) for metric in ("ttft", "tpot")),
            number(figures["e2e_p99_ms"], 0),
            number(figures["target_e2e_ms"], 0),
            percent(figures["attainment"]),
        )
    yield made


def _sessions(sessions: Mapping[str, Any] | None) -> Iterator[Table]:
    if sessions is None:
        return
    states = ("completed", "unfinished", "failed", "not_started")
    counts = [f"{sessions[f'{state}_sessions']:,} {state.replace('_', ' ')}" for state in states]
    yield pairs("Sessions", [(f"{sessions['sessions']:,}", ", ".join(counts))])
    yield latency_table(sessions, _SESSIONS, "Sessions (ms)")
    made = table("Turn", "requests", "done", "input", "hits", "TTFT p50", "TTFT p99", "E2E p99")
    for turn in sessions["turns"]:
        made.add_row(
            f"{turn['turn']}",
            f"{turn['requests']:,}",
            f"{turn['completed']:,}",
            number(turn["input_tokens_mean"], 0),
            percent(turn["cache_hit_rate"]),
            *(number(turn[key], 1) for key in ("ttft_p50_ms", "ttft_p99_ms", "e2e_p99_ms")),
        )
    yield made


def _scores(more: Mapping[str, Any]) -> Iterator[Table]:
    if "jain_fairness_index" in more:
        yield pairs("Fairness", [("Jain's index over tenants", number(more["jain_fairness_index"], 4))])
    if "fitness" in more:
        found = more["fitness"]
        parts = [(name, number(value, 6)) for name, value in found["components"].items()]
        yield pairs("Fitness", [("score", number(found["score"], 6)), *parts])


def steps(outcomes: Outcomes, summary: Mapping[str, Any]) -> Iterator[tuple[str, Cliff]]:
    """Cliffs of the latencies that should be even, with their names; E2E goes with the lengths of outputs.

    An overloaded run has none: there it is time that makes latencies differ.
    """
    if outcomes.steady_state.backlog.stable is False:
        return
    for key in _EVEN:
        for step in cliffs({p: summary[f"{key}_p{p}_ms"] for p in PERCENTILES}):
            yield LATENCIES[key], step


def _anomalies(outcomes: Outcomes, summary: Mapping[str, Any], counts: Mapping[str, int]) -> Iterator[Table]:
    rows = [(name, f"{counts[key]:,}") for key, name in _ANOMALIES.items()] if any(counts.values()) else []
    rows += [
        (
            f"cliff in {name}",
            f"p{step.lower} {number(step.lower_ms, 0)} ms, p{step.upper} {number(step.upper_ms, 0)} ms",
        )
        for name, step in steps(outcomes, summary)
    ]
    if rows:
        yield pairs("Anomalies", rows)


def _decisions(summary: Mapping[str, Any]) -> Iterator[Table]:
    rows = [
        ("decisions", f"{summary['total_decisions']:,}"),
        ("admitted", f"{summary['admitted']:,}"),
        ("rejected", f"{summary['rejected']:,}"),
        *((f"sent to {name}", f"{count:,}") for name, count in summary["target_distribution"].items()),
    ]
    known = {key: summary[key] for key in _REGRETS if summary.get(key) is not None}
    rows += [
        (_REGRETS[key], f"{value:,}" if isinstance(value, int) else f"{value:.6f}") for key, value in known.items()
    ]
    yield pairs("Decisions", rows)
