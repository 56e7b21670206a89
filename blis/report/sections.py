"""Everything that is said about a run besides its rows: text for stdout, and values for the results file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from blis.outcomes.metrics.anomalies import anomalies
from blis.outcomes.metrics.fairness import tenant_fairness
from blis.outcomes.metrics.fitness import fitness
from blis.outcomes.metrics.sessions import session_figures
from blis.outcomes.metrics.slo import slo_class_figures
from blis.outcomes.metrics.summary import WallClock, instance_summaries, summarize
from blis.outcomes.outcomes import Outcomes

_REGRETS = {"mean_regret": "Mean Regret", "max_regret": "Max Regret"}
_REALISED_REGRETS = {
    "realised_own_e2e_regret_mean_ms": "Own E2E Regret, Mean (ms)",
    "realised_own_e2e_regret_max_ms": "Own E2E Regret, Max (ms)",
    "realised_everyones_e2e_regret_mean_ms": "Everyone's E2E Regret, Mean (ms)",
}


@dataclass(frozen=True, eq=False)
class Report:
    """The figures of one run as people and programs read them.

    Attributes:
        outcomes: of a run or read from a file.
        fitness_weights: per key of `blis.outcomes.metrics.fitness.FITNESS_KEYS`; None: no score is asked for.
        slo_targets_us: per service class, the longest end-to-end time that is good enough.
        summarize_trace: whether people read the summary of the decisions; programs do if they were recorded.
        wall_clock: when it took place; None: don't say.
        saturation_per_s: answers per second of the same system when it is full; None: not known.
    """

    outcomes: Outcomes
    fitness_weights: Mapping[str, float] | None = None
    slo_targets_us: Mapping[str, int] | None = None
    summarize_trace: bool = False
    wall_clock: WallClock | None = None
    saturation_per_s: float | None = None

    def values(self) -> dict[str, Any]:
        """Everything under one roof: the keys of the metrics block, then those of what there is besides."""
        return {**self._summary, **self._more}

    def text(self) -> str:
        """What goes to stdout: metrics of each instance and of all, then further sections, each after an empty line."""
        more = self._shown
        blocks = [*more.get("instances", ()), self._summary]
        metrics = "\n".join(_json_section("Simulation Metrics", block) for block in blocks)
        sections = [
            metrics,
            _json_section("SLO Class Metrics", more["slo_classes"]) if "slo_classes" in more else None,
            _json_section("Session Metrics", more["sessions"]) if "sessions" in more else None,
            _fairness_section(more.get("jain_fairness_index")),
            _fitness_section(more.get("fitness")),
            _anomaly_section(more["anomalies"]),
            _trace_section(more.get("trace_summary")) if self.summarize_trace else None,
        ]
        return "\n\n".join(section for section in sections if section is not None)

    def tables(self) -> str:
        """The same for people at a terminal, under a line that says how the run went."""
        from blis.outcomes.metrics.activity import load_share
        from blis.report.run_table import run_tables
        from blis.report.tables import render

        load = load_share(self.outcomes, self.saturation_per_s)
        return render(run_tables(self.outcomes, self._summary, self._shown, load, summarize_trace=self.summarize_trace))

    @property
    def _shown(self) -> dict[str, Any]:
        """What there is besides the summary, without classes that nobody gave or asked about."""
        more = dict(self._more)
        if len(more.get("slo_classes", {})) < 2 and not self.slo_targets_us:
            more.pop("slo_classes", None)
        return more

    @cached_property
    def _summary(self) -> dict[str, Any]:
        timed = None if self.wall_clock is None else summarize(self.outcomes, self.wall_clock)
        return {
            **(timed or self.outcomes.summary),
            "steady_state": self.outcomes.steady_state.figures(),
        }

    @cached_property
    def _more(self) -> dict[str, Any]:
        outcomes = self.outcomes
        more: dict[str, Any] = {}
        if len(outcomes.result.instances) > 1:
            more["instances"] = instance_summaries(outcomes)
        classes = slo_class_figures(outcomes, self.slo_targets_us)
        if classes is not None:
            more["slo_classes"] = classes
        if outcomes.table.tenant is not None:
            more["jain_fairness_index"] = tenant_fairness(outcomes)
        sessions = session_figures(outcomes)
        if sessions is not None:
            more["sessions"] = sessions
        more["anomalies"] = anomalies(outcomes)
        if self.fitness_weights is not None:
            more["fitness"] = fitness(outcomes, self.fitness_weights)
        if outcomes.trace is not None:
            more["trace_summary"] = dict(outcomes.trace.summary)
        return more


def _json_section(title: str, figures: Mapping[str, Any]) -> str:
    return f"=== {title} ===\n" + json.dumps(figures, indent=2, allow_nan=False)


def _fairness_section(index: float | None) -> str | None:
    return None if index is None else f"=== Fairness ===\nJain Fairness Index: {_number(index)}"


def _fitness_section(fitness: Mapping[str, Any] | None) -> str | None:
    if fitness is None:
        return None
    components = [f"  {key}: {_number(points)}" for key, points in fitness["components"].items()]
    return "\n".join(["=== Fitness Evaluation ===", f"Score: {_number(fitness['score'])}", *components])


def _anomaly_section(counts: Mapping[str, int]) -> str | None:
    if not any(counts.values()):
        return None
    return (
        "=== Anomaly Counters ===\n"
        f"Priority Inversions: {counts['priority_inversions']}\n"
        f"HOL Blocking Events: {counts['hol_blocking_events']}\n"
        f"Rejected Requests: {counts['rejected_requests']}"
    )


def _trace_section(summary: Mapping[str, Any] | None) -> str | None:
    if summary is None:
        return None
    targets = [f"  {instance}: {count}" for instance, count in summary["target_distribution"].items()]
    lines = [
        "=== Trace Summary ===",
        f"Total Decisions: {summary['total_decisions']}",
        f"  Admitted: {summary['admitted']}",
        f"  Rejected: {summary['rejected']}",
        f"Unique Targets: {summary['unique_targets']}",
        *(["Target Distribution:", *targets] if targets else []),
        *(f"{label}: {_number(summary[key])}" for key, label in _REGRETS.items() if summary[key] is not None),
    ]
    if "realised_samples" in summary:
        lines.append(f"Realised Samples: {summary['realised_samples']}")
        labels = {key: label for key, label in _REALISED_REGRETS.items() if summary[key] is not None}
        lines += [f"  {label}: {_number(summary[key])}" for key, label in labels.items()]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:.6f}"
