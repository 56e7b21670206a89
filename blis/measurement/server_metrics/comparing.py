"""A server's own histograms beside a simulation: not request by request, but all together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError
from blis.measurement.server_metrics.dump import Dump
from blis.measurement.server_metrics.figures import HISTOGRAMS, cache_hit_rate, histogram
from blis.measurement.server_metrics.histogram import PERCENTILES, Histogram
from blis.outcomes.outcomes import Outcomes

Values = NDArray[Any]

#: A number of requests or tokens that is off by more than this is another workload.
_SAME_WORKLOAD = 0.05


def compare_with_server(dump: Dump, outcomes: Outcomes | str | Path) -> dict[str, Any]:
    """Compare what a server says of itself with a simulation of the same workload.

    Args:
        dump: of the server; a difference of two where it had served others before.
        outcomes: of the simulation, or their Parquet file.

    Returns:
        ``meaningful`` and ``not_meaningful_because``; ``requests``, ``cache_hit_rate`` and ``preemption_count`` of
        both sides; and ``metrics`` (ttft, itl, tpot, e2e, queue, input_tokens, output_tokens): means, of each
        percentile the simulated value and the bounds of the measured one, and whether it is ``within``; and
        ``largest_difference``, the most by which the shares of values up to a bucket's bound differ. None where a
        side has nothing.

    Raises:
        WorkloadError: a side has no finished request.
    """
    simulated = outcomes if isinstance(outcomes, Outcomes) else Outcomes.read_parquet(outcomes)
    values = _simulated(simulated)
    metrics = {name: _compared(histogram(dump, name), *values[name]) for name in values}
    if all(found is None for found in metrics.values()):
        raise WorkloadError(f"{dump.path}: nothing to compare: the server or the simulation has finished no request")
    summary = simulated.summary
    reasons = _reasons(dump, simulated, metrics)
    return {
        "meaningful": not reasons,
        "not_meaningful_because": reasons,
        "requests": {"measured": int(sum(dump.finished.values())), "simulated": summary["completed_requests"]},
        "cache_hit_rate": {"measured": cache_hit_rate(dump), "simulated": summary["cache_hit_rate"]},
        "preemption_count": {
            "measured": dump.counters.get("num_preemptions"),
            "simulated": summary["preemption_count"],
        },
        "metrics": metrics,
    }


def _simulated(outcomes: Outcomes) -> dict[str, tuple[Values, Values]]:
    """Values of completed requests and how often each occurs, in the units of `HISTOGRAMS`."""
    table = outcomes.requests
    done = table.filter(table["status"] == "completed")

    def column(name: str, scale: float = 1.0) -> tuple[Values, Values]:
        found: Values = done[name].drop_nulls().to_numpy().astype(np.float64) * scale
        return found, np.ones(len(found))

    itl = outcomes.itl
    return {
        "ttft": column("ttft_us", 1e-3),
        "itl": (np.asarray(itl.values_us) * 1e-3, np.asarray(itl.counts, dtype=np.float64)),
        "tpot": column("itl_mean_us", 1e-3),
        "e2e": column("e2e_us", 1e-3),
        "queue": column("scheduling_delay_us", 1e-3),
        "input_tokens": column("input_tokens"),
        "output_tokens": column("produced_tokens"),
    }


def _compared(measured: Histogram | None, values: Values, weights: Values) -> dict[str, Any] | None:
    if measured is None or not weights.sum():
        return None
    order = np.argsort(values, kind="stable")
    values, upto = values[order], np.cumsum(weights[order])
    mean, measured_mean = float(values @ weights[order] / upto[-1]), measured.mean
    at_bounds = np.concatenate(([0.0], upto))[np.searchsorted(values, measured.bounds, side="right")] / upto[-1]
    return {
        "measured_count": measured.count,
        "simulated_count": int(upto[-1]),
        "measured_mean": measured_mean,
        "simulated_mean": mean,
        "mean_relative_error": (mean - measured_mean) / measured_mean if measured_mean else None,
        **{f"p{each}": _percentile(measured, each, values, upto) for each in PERCENTILES},
        "largest_difference": float(np.abs(at_bounds - measured.upto / measured.count).max()),
    }


def _percentile(measured: Histogram, percentile: int, values: Values, upto: Values) -> dict[str, Any]:
    low, high, _ = measured.percentile(percentile)
    simulated = float(values[min(int(np.searchsorted(upto, percentile / 100 * upto[-1])), len(values) - 1)])
    within = low < simulated <= (np.inf if high is None else high) or simulated == low == 0
    return {"measured_at_least": low, "measured_at_most": high, "simulated": simulated, "within": bool(within)}


def _reasons(dump: Dump, outcomes: Outcomes, metrics: dict[str, Any]) -> list[str]:
    """Why the two sides are not of the same workload."""
    reasons = []
    finished = sum(dump.finished.values())
    completed = outcomes.summary["completed_requests"]
    if abs(completed - finished) > _SAME_WORKLOAD * max(finished, 1):
        reasons.append(
            f"the server has finished {finished:.0f} requests, the simulation {completed}; the difference of two dumps "
            "leaves out what came before"
        )
    for name in ("input_tokens", "output_tokens"):
        found = metrics[name]
        error = None if found is None else found["mean_relative_error"]
        if error is not None and abs(error) > _SAME_WORKLOAD:
            unit = HISTOGRAMS[name][0]
            sides = f"{found['measured_mean']:.1f} measured, {found['simulated_mean']:.1f} simulated"
            reasons.append(f"requests have other {name.replace('_', ' ')}: {sides} {unit} on average")
    if outcomes.summary["interrupted"]:
        reasons.append("the simulation was interrupted")
    return reasons


def comparison_as_text(report: dict[str, Any]) -> str:
    """Show what `compare_with_server` found."""
    lines = ["comparison with the server's histograms" + ("" if report["meaningful"] else ": not meaningful, because")]
    lines += [f"- {reason}" for reason in report["not_meaningful_because"]]
    for name in ("requests", "cache_hit_rate", "preemption_count"):
        sides = (f"{report[name][side]:g} {side}" for side in report[name] if report[name][side] is not None)
        lines.append(f"{name.replace('_', ' ')}: {', '.join(sides)}")
    lines += ["", f"{'':<22}{'measured':>10}{'simulated':>11}{'error':>8}  percentiles outside of their bucket"]
    for name, found in report["metrics"].items():
        if found is not None:
            lines.append(_metric_line(f"{name}, {HISTOGRAMS[name][0]}", found))
    return "\n".join(lines)


def _metric_line(title: str, found: dict[str, Any]) -> str:
    outside = (f"p{each} {_outside(found[f'p{each}'])}" for each in PERCENTILES if not found[f"p{each}"]["within"])
    error = found["mean_relative_error"]
    told = "" if error is None else f"{error:+.1%}"
    sides = f"{found['measured_mean']:>10.2f}{found['simulated_mean']:>11.2f}"
    return f"{title:<22}{sides}{told:>8}  {', '.join(outside) or 'none'}"


def _outside(found: dict[str, Any]) -> str:
    low, high = found["measured_at_least"], found["measured_at_most"]
    bucket = f"> {low:g}" if high is None else f"{low:g} to {high:g}"
    return f"{found['simulated']:.4g} for {bucket}"
