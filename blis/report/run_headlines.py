"""What stands at the top of a run's page: its title, what it was, and headline figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from blis.outcomes.metrics.activity import busy_share
from blis.outcomes.metrics.slo import attained
from blis.outcomes.outcomes import Outcomes
from blis.report.page import Tile, Tiles
from blis.report.run_table import intervals
from blis.report.sections import Report
from blis.report.tables import number, percent

#: Latencies by the name their figures have.
LATENCIES = {"ttft": "Time to first token", "itl": "Inter-token latency", "e2e": "End-to-end time"}


def title(metadata: Mapping[str, Any], num_instances: int) -> str:
    """Which model runs on what."""
    model, hardware, tp = (metadata.get(key) for key in ("model", "hardware", "tp"))
    if model is None:
        return "Simulated run"
    gpus = f"{tp} × {hardware}" if tp and hardware and tp > 1 else str(hardware or "")
    many = f"{num_instances} instances of " if num_instances > 1 else ""
    return f"{model} on {many}{gpus}" if gpus else str(model)


def about(outcomes: Outcomes, values: Mapping[str, Any]) -> list[str]:
    """How much was simulated, and of what."""
    metadata = outcomes.metadata
    seconds = number(values["vllm_estimated_duration_s"], 1)
    lines = [
        f"{values['completed_requests']:,} of {values['injected_requests']:,} requests completed in {seconds} s of "
        f"simulated time; {values['total_input_tokens']:,} input and {values['total_output_tokens']:,} output tokens."
    ]
    parts = [
        f"vLLM {metadata['vllm_version']}" if metadata.get("vllm_version") else "",
        f"seed {metadata['seed']}" if "seed" in metadata else "",
        f"blis {metadata['blis_version']}" if "blis_version" in metadata else "",
    ]
    long_run = "; ".join(f"{name}: {text}" for name, text in intervals(outcomes))
    return [*lines, *([f"In the long run: {long_run}."] if long_run else []), ", ".join(filter(None, parts))]


def tiles(report: Report, values: Mapping[str, Any]) -> Tiles:
    """Headline figures; ``values`` are those of the report."""
    outcomes = report.outcomes
    latencies = [
        _latency_tile(name, {p: values[f"{key}_{p}_ms"] for p in ("p50", "p95", "p99")})
        for key, name in LATENCIES.items()
    ]
    rate, tokens = values["responses_per_sec"], values["tokens_per_sec"]
    preemptions = values["preemption_count"]
    return Tiles(
        [
            *latencies,
            Tile("Throughput", [("requests/s", number(rate, 2)), ("output tokens/s", number(tokens, 0))]),
            *_goodput(report),
            Tile("Busy", [("", percent(busy_share(outcomes)))], "of the run, the mean instance ran steps"),
            Tile("Prefix cache hits", [("", percent(values["cache_hit_rate"]))], "of the prompt tokens admitted"),
            Tile("Preemptions", [("", f"{preemptions:,}")], "", "bad" if preemptions else ""),
            Tile(
                "KV cache, peak",
                [("", percent(values["kv_blocks_peak"] / values["kv_blocks_total"]))],
                f"{values['kv_blocks_peak']:,} of {values['kv_blocks_total']:,} blocks",
            ),
        ]
    )


def _latency_tile(name: str, figures_ms: Mapping[str, float | None]) -> Tile:
    """Figures in ms, or in s where ms would be long."""
    in_seconds = (figures_ms["p99"] or 0) >= 1000
    scaled = {label: ms and ms / (1000 if in_seconds else 1) for label, ms in figures_ms.items()}
    figures = [(label, number(value, 2 if (value or 0) < 10 else 1)) for label, value in scaled.items()]
    return Tile(f"{name}, {'s' if in_seconds else 'ms'}", figures)


def _goodput(report: Report) -> Iterator[Tile]:
    if not report.slo_targets_us:
        return
    has_target, met = attained(report.outcomes, report.slo_targets_us)
    targeted, good = int(has_target.sum()), int(met.sum())
    share = good / targeted if targeted else None
    seconds = report.outcomes.result.end_us / 1e6
    rate = good / seconds if targeted and seconds else None
    yield Tile("Attainment", [("", percent(share))], f"{good:,} of {targeted:,} requests within their class's target")
    yield Tile("Goodput", [("requests/s", number(rate, 2))], "within their target")
