"""What a dump of vLLM's metrics says, as figures and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blis.measurement.server_metrics.dump import Dump
from blis.measurement.server_metrics.histogram import PERCENTILES, Histogram

#: Histograms that are shown: what each is called here, its unit, how many of these one of vLLM's is, and its names
#: in vLLM, the newest first.
HISTOGRAMS: Mapping[str, tuple[str, float, tuple[str, ...]]] = {
    "ttft": ("ms", 1e3, ("time_to_first_token_seconds",)),
    "itl": ("ms", 1e3, ("inter_token_latency_seconds", "time_per_output_token_seconds")),
    "tpot": ("ms", 1e3, ("request_time_per_output_token_seconds",)),
    "e2e": ("ms", 1e3, ("e2e_request_latency_seconds",)),
    "queue": ("ms", 1e3, ("request_queue_time_seconds",)),
    "prefill": ("ms", 1e3, ("request_prefill_time_seconds",)),
    "decode": ("ms", 1e3, ("request_decode_time_seconds",)),
    "input_tokens": ("tokens", 1.0, ("request_prompt_tokens",)),
    "output_tokens": ("tokens", 1.0, ("request_generation_tokens",)),
    "step_tokens": ("tokens", 1.0, ("iteration_tokens",)),
}
_HITS, _QUERIES = (tuple(f"{prefix}prefix_cache_{what}" for prefix in ("", "gpu_")) for what in ("hits", "queries"))
_KV_USAGE = ("kv_cache_usage_perc", "gpu_cache_usage_perc")


def histogram(dump: Dump, name: str) -> Histogram | None:
    """One of `HISTOGRAMS` with values in its unit; None if the dump has none, or nothing in it."""
    _, scale, names = HISTOGRAMS[name]
    found = next((dump.histograms[theirs] for theirs in names if theirs in dump.histograms), None)
    if found is None or not found.count:
        return None
    return Histogram(found.bounds * scale, found.upto, found.total * scale)


def cache_hit_rate(dump: Dump) -> float | None:
    """Tokens found in the prefix cache over tokens looked for; None: nothing was."""
    hits, queries = (_first(dump.counters, names) for names in (_HITS, _QUERIES))
    return hits / queries if hits is not None and queries else None


def describe_dump(dump: Dump) -> dict[str, Any]:
    """All figures of a dump as plain JSON values.

    Of each histogram: count, exact mean, and of each percentile the bounds of its bucket and, between them, where it
    would be if values were spread evenly there; None where the last bucket has no end.
    """
    return {
        "file": str(dump.path),
        "format": "vllm-metrics",
        "models": list(dump.models),
        "engines": dump.num_engines,
        "finished_requests": {reason: int(count) for reason, count in dump.finished.items() if count},
        "running_requests": dump.gauges.get("num_requests_running"),
        "waiting_requests": dump.gauges.get("num_requests_waiting"),
        "input_tokens_total": dump.counters.get("prompt_tokens"),
        "output_tokens_total": dump.counters.get("generation_tokens"),
        "cache_hit_rate": cache_hit_rate(dump),
        "preemption_count": dump.counters.get("num_preemptions"),
        "kv_usage": _mean_usage(dump),
        "histograms": {name: _described(dump, name) for name in HISTOGRAMS},
    }


def _mean_usage(dump: Dump) -> float | None:
    usage = _first(dump.gauges, _KV_USAGE)
    return None if usage is None else usage / dump.num_engines


def _described(dump: Dump, name: str) -> dict[str, Any] | None:
    found = histogram(dump, name)
    if found is None:
        return None
    percentiles = {f"p{percentile}": found.percentile(percentile) for percentile in PERCENTILES}
    return {
        "unit": HISTOGRAMS[name][0],
        "count": found.count,
        "mean": found.mean,
        **{key: {"at_least": low, "at_most": high, "about": about} for key, (low, high, about) in percentiles.items()},
    }


def _first(values: Mapping[str, float], names: tuple[str, ...]) -> float | None:
    return next((values[name] for name in names if name in values), None)


def dump_as_text(figures: Mapping[str, Any]) -> str:
    """Show what `describe_dump` found."""
    finished = figures["finished_requests"]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in finished.items())
    lines = [
        f"{figures['file']} ({figures['format']})",
        "",
        _line("models", ", ".join(figures["models"])),
        _line("engines", f"{figures['engines']}"),
        _line("requests", f"{sum(finished.values()):,} finished ({reasons or 'none'})"),
        _line("now", f"{_number(figures['running_requests'])} running, {_number(figures['waiting_requests'])} waiting"),
        _line("tokens", f"{_number(figures['input_tokens_total'])} in, {_number(figures['output_tokens_total'])} out"),
        _line("cache hits", _share(figures["cache_hit_rate"])),
        _line("preemptions", _number(figures["preemption_count"])),
        _line("KV in use", _share(figures["kv_usage"])),
        "",
        _line("", f"{'count':>18}{'mean':>12}" + "".join(f"{f'p{percentile}':>20}" for percentile in PERCENTILES)),
    ]
    lines += [_row(name, found) for name, found in figures["histograms"].items() if found is not None]
    return "\n".join(lines)


def _row(name: str, found: Mapping[str, Any]) -> str:
    cells = "".join(f"{_between(found[f'p{percentile}']):>20}" for percentile in PERCENTILES)
    return f"{name}, {found['unit']}".ljust(22) + f"{found['count']:>8,}{found['mean']:>12.2f}{cells}".rstrip()


def _between(found: Mapping[str, Any]) -> str:
    if found["at_most"] is None:
        return f"> {found['at_least']:g}"
    return f"{found['at_least']:g} to {found['at_most']:g}"


def _line(name: str, value: str) -> str:
    return f"{name:<12}{value}".rstrip()


def _number(value: float | None) -> str:
    return "not said" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "not said" if value is None else f"{value:.1%}"
