"""Everything that is said about a run besides its rows: JSON for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from blis._core.codes import NONE
from blis.outcomes.metrics.anomalies import anomalies
from blis.outcomes.metrics.fairness import tenant_fairness
from blis.outcomes.metrics.fitness import fitness
from blis.outcomes.metrics.sessions import session_figures
from blis.outcomes.metrics.slo import slo_class_figures
from blis.outcomes.metrics.summary import WallClock, instance_summaries, summarize
from blis.outcomes.outcomes import Outcomes


@dataclass(frozen=True, eq=False)
class Report:
    """The figures of one run as people and programs read them.

    Attributes:
        outcomes: of a run or read from a file.
        fitness_weights: per key of `blis.outcomes.metrics.fitness.FITNESS_KEYS`; None: no score is asked for.
        slo_targets_us: per service class, the longest end-to-end time that is good enough.
        summarize_trace: whether stdout gets the summary of the decisions; results files do if they were recorded.
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
        """Everything under one roof, as plain JSON values: the metrics, then keys for what there is besides."""
        return {**self._summary, **self._more}

    def printed(self) -> dict[str, Any]:
        """The document that goes to stdout: the same, without a summary of decisions that nobody asked for."""
        values = self.values()
        if not self.summarize_trace:
            values.pop("trace_summary", None)
        return values

    def tables(self) -> str:
        """The same for people at a terminal, under a line that says how the run went."""
        from blis.report.run_table import run_tables
        from blis.report.tables import render

        tables = run_tables(
            self.outcomes, self._summary, self._shown, self.load_share, summarize_trace=self.summarize_trace
        )
        return render(tables)

    @cached_property
    def load_share(self) -> float | None:
        """`blis.outcomes.metrics.activity.load_share` of the run."""
        from blis.outcomes.metrics.activity import load_share

        return load_share(self.outcomes, self.saturation_per_s)

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
        tenant = outcomes.table.tenant
        if tenant is not None and (tenant.codes != NONE).any():
            more["jain_fairness_index"] = tenant_fairness(outcomes)
        sessions = session_figures(outcomes)
        if sessions is not None:
            more["sessions"] = sessions
        if outcomes.expected_error is not None:
            more["expected_error"] = outcomes.expected_error.figures()
        more["anomalies"] = anomalies(outcomes)
        if self.fitness_weights is not None:
            more["fitness"] = fitness(outcomes, self.fitness_weights)
        if outcomes.trace is not None:
            more["trace_summary"] = dict(outcomes.trace.summary)
        return more
