"""What a calibration found as plain JSON values; durations in ms, errors and shares as fractions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from blis.measurement.calibrate.configuration import ConfigMatch
from blis.measurement.calibrate.pairing import Bools, Network, Pairs
from blis.measurement.calibrate.regimes import load_regimes
from blis.outcomes.metrics.calibration import Comparison, Spread, compare
from blis.outcomes.metrics.slo import DEFAULT_CLASS
from blis.workload.requests import Ints, Labels
from blis.workload.traces.tracev2.header import TraceHeader
from blis.workload.traces.tracev2.records import TraceRecords

METRICS = ("ttft", "e2e", "tpot")

#: What the figures cannot be better than.
KNOWN_LIMITATIONS = (
    "Every step takes as long as a law of averages says; near saturation small errors of that law add up in the queue, "
    "so latencies are off by more than the steps are.",
    "Where a trace does not say which prompts share tokens, prompts of a prefix group are taken to share their first "
    "50 tokens and a conversation's rounds to continue each other, so hits in the prefix cache may differ from the "
    "server's.",
    "Speculative decoding is not simulated: every step gives a decoding request one token.",
)


@dataclass(frozen=True)
class Throughput:
    """Output tokens of the compared requests per second of their span, each side on its own clock.

    The span goes from the first request's start to the last token of all. None where it has no length.
    """

    measured_tokens_per_s: float | None
    simulated_tokens_per_s: float | None

    @property
    def ratio(self) -> float | None:
        """Simulated through measured."""
        if not self.measured_tokens_per_s or self.simulated_tokens_per_s is None:
            return None
        return self.simulated_tokens_per_s / self.measured_tokens_per_s


def throughput(pairs: Pairs) -> Throughput:
    """Output tokens per second of both sides; there must be pairs."""
    sides = (pairs.measured, pairs.simulated)
    return Throughput(*(int(s.output_tokens.sum()) / (s.span_us / 1e6) if s.span_us > 0 else None for s in sides))


def comparisons(pairs: Pairs, chosen: Bools | slice = slice(None)) -> dict[str, Comparison | None]:
    """Compare the durations of some pairs, in ms, by metric; None where no pair has that metric."""
    found: dict[str, Comparison | None] = {}
    for metric in METRICS:
        measured, simulated = pairs.durations_us(metric, chosen)
        found[metric] = compare(measured / 1000, simulated / 1000) if len(measured) else None
    return found


def build_report(
    header: TraceHeader,
    records: TraceRecords,
    pairs: Pairs,
    *,
    network: Network,
    in_flight: Ints,
    config: ConfigMatch,
    reasons: list[str],
    notes: list[str],
) -> dict[str, Any]:
    """Put everything that is said about a calibration under one roof (docs/calibrate.md explains the keys).

    Args:
        header: of the trace.
        records: of the trace.
        pairs: what is compared, at least one.
        network: what was added to the simulated side.
        in_flight: (n,) load that each request of the trace met.
        config: server and simulation.
        reasons: why the comparison is not meaningful.
        notes: what else there is to know.
    """
    rate = throughput(pairs)
    return {
        "meaningful": not reasons,
        "not_meaningful_because": reasons,
        "notes": notes,
        "trace_info": _trace_info(records, pairs),
        "network": dataclasses.asdict(network),
        "metrics": {
            **{metric: found and _metric(found) for metric, found in comparisons(pairs).items()},
            "throughput": {**dataclasses.asdict(rate), "ratio": rate.ratio},
        },
        "slo_classes": _by_class(pairs, records.slo_class),
        "load_regimes": _by_load(pairs, in_flight),
        "config_match": dataclasses.asdict(config),
        "known_limitations": list(KNOWN_LIMITATIONS),
    }


def _trace_info(records: TraceRecords, pairs: Pairs) -> dict[str, Any]:
    counts = dataclasses.asdict(pairs.counts)
    shown = ("num_requests", "warm_up_excluded", "matched_pairs", "unmatched_real", "unmatched_sim", "unserved_sim")
    end_us = max(int(records.last_chunk_us.max()), int(records.send_us.max()))
    return {
        **{name: counts[name] for name in (*shown, "token_mismatches", "failed")},
        "compared_pairs": len(pairs),
        "duration_s": (end_us - int(records.send_us.min())) / 1e6,
    }


def _metric(found: Comparison) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(Spread)]
    return {
        **{f"measured_{name}_ms": getattr(found.measured, name) for name in names},
        **{f"simulated_{name}_ms": getattr(found.simulated, name) for name in names},
        **{f"{name}_relative_error": found.relative_error(name) for name in names},
        **_agreement(found),
    }


def _agreement(found: Comparison) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("count", "mape", "pearson_r", "variation", "bias", "quality")}


def _by_class(pairs: Pairs, given: Labels) -> dict[str, Any]:
    codes = given.codes[pairs.rows]
    if not (codes >= 0).any():
        return {}
    named = {(*given.names, DEFAULT_CLASS)[code]: codes == code for code in np.unique(codes).tolist()}
    return _groups(pairs, sorted(named.items()))


def _by_load(pairs: Pairs, in_flight: Ints) -> dict[str, Any]:
    load = in_flight[pairs.rows]
    regimes = list(load_regimes(load))
    figures = _groups(pairs, regimes)
    for level, chosen in regimes:
        bounds = {"in_flight_min": int(load[chosen].min()), "in_flight_max": int(load[chosen].max())}
        figures[level] = bounds | figures[level]
    return figures


def _groups(pairs: Pairs, groups: Iterable[tuple[str, Bools]]) -> dict[str, Any]:
    return {name: _group(chosen, comparisons(pairs, chosen)) for name, chosen in groups}


def _group(chosen: Bools, found: Mapping[str, Comparison | None]) -> dict[str, Any]:
    agreements = {metric: comparison and _agreement(comparison) for metric, comparison in found.items()}
    return {"count": int(np.count_nonzero(chosen)), **agreements}
