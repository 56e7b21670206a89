"""What several runs of one load on one deployment say together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from blis.files.shown import counted, summed_up
from blis.outcomes.metrics.cliffs import Cliff, cliffs
from blis.outcomes.metrics.latency import PERCENTILES
from blis.outcomes.metrics.steady_state import VERDICTS
from blis.outcomes.statistics.estimates import Estimate, replications
from blis.studies.capacity.measuring import Sample
from blis.studies.capacity.objectives import Slos

#: Of all intervals.
CONFIDENCE = 0.95
#: Runs grow to so many times their first number of requests at most.
MOST_GROWTH = 64


@dataclass(frozen=True)
class Effort:
    """How much is simulated for one point.

    Attributes:
        num_requests: in each run, if the workload can have any number.
        replications: runs, with seeds of their own.
    """

    num_requests: int
    replications: int


@dataclass(frozen=True, repr=False)
class Point:
    """A rate on so many instances, tried.

    Attributes:
        rate: arrivals per second (`blis.studies.capacity.loads.Load.unit`).
        num_instances: that serve them.
        effort: what was asked for.
        samples: one per replication.
        slos: what must hold.
        stopped_early: hopeless; a quarter of the requests was enough to see it.
        sustainable: whether a full system answers as many per second; None: not known.
    """

    rate: float
    num_instances: int
    effort: Effort
    samples: tuple[Sample, ...]
    slos: Slos
    stopped_early: bool = False
    sustainable: bool | None = None

    def __repr__(self) -> str:
        meets = "meets" if self.meets else f"misses, by {self.binding}"
        on = counted(self.num_instances, "instance")
        return summed_up(self, f"{self.rate:.5g} per second on {on}, {meets}, backlog: {self.backlog}")

    @property
    def num_requests(self) -> int:
        """Of a run, as they came; of runs that differ, their mean."""
        return round(float(np.mean([sample.num_requests for sample in self.samples])))

    @cached_property
    def estimates(self) -> Mapping[str, Estimate]:
        """Mean of each figure over the replications, with its 95 % interval."""
        return {name: self._estimate(name) for name in self.samples[0].values}

    def _estimate(self, name: str) -> Estimate:
        values = [value for sample in self.samples if not math.isnan(value := sample.values[name])]
        if not values:
            return Estimate(math.nan, math.nan, math.nan, 0.0, 0)
        if not all(map(math.isfinite, values)):
            return Estimate(math.inf, -math.inf, math.inf, 1.0, len(values))
        return replications(np.array(values), CONFIDENCE)

    @property
    def strains(self) -> dict[str, float]:
        """How much of each limit is used up; above 1 it is missed."""
        return {name: self.slos.strain(name, self.estimates[name].mean) for name in self.slos.names}

    @property
    def stable(self) -> bool | None:
        """Whether the backlog keeps its level; None: nobody can tell.

        It grows at more than a full system answers, and where more than half of the replications say so. Elsewhere they
        need not have been long enough to tell that it doesn't.
        """
        if self.sustainable is False:
            return False
        verdicts = [sample.backlog.stable for sample in self.samples]
        told = next((verdict for verdict in (False, True) if verdicts.count(verdict) * 2 > len(verdicts)), None)
        return self.sustainable if told is None else told

    @property
    def backlog(self) -> str:
        """The same in words, one of `VERDICTS`."""
        return VERDICTS[self.stable]

    @property
    def strain(self) -> float:
        """That of the limit that is used up most; infinite if the backlog grows."""
        return math.inf if self.stable is False else max(self.strains.values())

    @property
    def meets(self) -> bool:
        """Whether all SLOs are met, on average over the replications, and the backlog does not grow."""
        return self.strain <= 1

    @property
    def is_clear(self) -> bool:
        """Whether the intervals leave no doubt about that."""
        return self.stable is False or self.strains_high <= 1 or any(low > 1 for low in self._strains_at("low"))

    @property
    def strains_high(self) -> float:
        """The highest strain at the bad end of the intervals."""
        return max(self._strains_at("high"))

    def _strains_at(self, end: str) -> list[float]:
        """Strains at the good (``low``) or the bad (``high``) end of the intervals."""
        ends = []
        for name in self.slos.names:
            estimate = self.estimates[name]
            strains = [self.slos.strain(name, value) for value in (estimate.low, estimate.high)]
            ends.append(min(strains) if end == "low" else max(strains))
        return ends

    @property
    def binding(self) -> str:
        """What comes closest to its limit, or is beyond it most: the name of a figure, or ``backlog``."""
        strains = self.strains
        worst = max(strains, key=lambda name: strains[name])
        return "backlog" if self.stable is False and strains[worst] <= 1 else worst

    @property
    def cliffs(self) -> dict[str, Cliff]:
        """Limited percentiles at a steep step to their neighbour, by name; that step."""
        found = {}
        for objective in self.slos.of_all:
            for cliff in cliffs(self._percentiles_ms(objective.metric)):
                if objective.statistic in (f"p{cliff.lower}", f"p{cliff.upper}"):
                    found[objective.name] = cliff
        return found

    def _percentiles_ms(self, metric: str) -> dict[int, float]:
        """Means over the replications; without those that are endless or not there."""
        figures = [sample.latencies.get(metric, {}) for sample in self.samples]
        means = {p: float(np.mean([each.get(f"p{p}", math.nan) for each in figures])) / 1000 for p in PERCENTILES}
        return {p: value for p, value in means.items() if math.isfinite(value)}

    @property
    def output_tokens_per_s(self) -> float:
        """Mean over the replications: of a system that keeps up, what would go on while requests arrive."""
        if not self.stable:
            return float(np.mean([sample.output_tokens_per_s for sample in self.samples]))
        return float(np.mean([sample.output_tokens_per_s / sample.arriving for sample in self.samples]))


def finite(value: float | None) -> float | None:
    """The figure; None if there is none, or no end to it: requests that are turned away count as endless."""
    return value if value is not None and math.isfinite(value) else None
