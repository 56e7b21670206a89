"""Tries loads on deployments: runs, in threads, from a point's description to its figures."""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from blis.api import describe_run
from blis.config.resolve import Resolved
from blis.errors import ConfigError, WorkloadError
from blis.outcomes.outcomes import Outcomes
from blis.outcomes.statistics.estimates import Estimate
from blis.outcomes.statistics.estimates import replications as over_replications
from blis.studies.capacity.loads import Load, requests_per_arrival
from blis.studies.capacity.measuring import Sample, measure
from blis.studies.capacity.objectives import Slos
from blis.studies.capacity.points import CONFIDENCE, MOST_GROWTH, Effort, Point
from blis.studies.capacity.saturation import Guess, Run, fill, filled, full_rate
from blis.studies.sweep.runner import Case, Runner
from blis.studies.sweep.threads import default_jobs, in_threads
from blis.workload.requests import RequestTable

Found = TypeVar("Found")

#: Gets every point that was tried.
Progress = Callable[[Point], None]

#: Of a run that may be hopeless, this share of the requests is tried first.
PILOT_SHARE = 0.25
#: It is hopeless if the backlog grows, and a limit is missed by this factor.
HOPELESS_STRAIN = 2.0
#: Requests of a run that a pilot pays for.
FEWEST_FOR_PILOT = 400

#: Requests that may fill a system, if runs of its load may not have more.
MOST_TO_FILL = 2**17

#: What a runner keeps: requests of one rate are of no use at the next.
MOST_NUMBERS = 2**22

#: Why no request has a latency; of all others: none is answered.
_ONE_TOKEN = "no request has a second token"
_WHY_MISSING = {"itl": _ONE_TOKEN, "tpot": _ONE_TOKEN}

_log = logging.getLogger("blis")


@dataclass(frozen=True)
class FullSystem:
    """What a system answers that has always more to do than it can.

    Attributes:
        guess_per_s: arrivals per second (`Load.unit`), filling and draining included: where to begin.
        num_instances: of the system.
        full: requests per second while it is full, with the 95 % interval over replications, or of the one run; None:
            they are too few to fill it, or wait for each other, so that it cannot be told.
    """

    guess_per_s: float
    num_instances: int
    full: Estimate | None

    @property
    def rate(self) -> float | None:
        """Requests per second."""
        return None if self.full is None else self.full.mean

    def bears(self, rate: float, num_instances: int) -> bool | None:
        """Whether so many instances certainly answer as much; None: not known."""
        return None if self.full is None else rate <= self.full.low * num_instances / self.num_instances

    def least(self, rate: float) -> int:
        """Fewer such systems cannot answer so much; 1 if that is not known."""
        return 1 if self.full is None else max(math.ceil(rate / self.full.high), 1)


class Evaluator:
    """Tries rates and numbers of instances of one deployment.

    Args:
        case: deployment, engine and cluster; workload and seed of it do not matter.
        load: what arrives.
        slos: what must hold.
        jobs: threads; None: one per CPU.
        progress: gets every point.
        runner: where runs take place; None: a new one.
    """

    def __init__(
        self,
        case: Case,
        load: Load,
        slos: Slos,
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
        runner: Runner | None = None,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise ConfigError(f"jobs: must be at least 1, got {jobs}")
        self.load = load
        self.slos = slos
        self._case = case
        self._jobs = jobs or default_jobs()
        self._progress = progress
        self._runner = runner or Runner(MOST_NUMBERS)
        self._warned = False
        self._full: FullSystem | None = None
        self.resolved: Resolved = self._runner.check(case)

    def describe(self) -> dict[str, Any]:
        """Resolved configuration and inputs, as plain JSON values."""
        case = self._case
        return describe_run(self.resolved, case.cluster, case.workload, self.load.seed_of(0), case.horizon_us)

    def load_engine(self) -> None:
        """Load what runs call, before this process is copied."""
        self._runner.load(self._case)

    def with_steps(self, factor: float) -> Evaluator:
        """The same of a deployment whose steps take so many times as long."""
        case = dataclasses.replace(self._case, step_factor=factor)
        return Evaluator(case, self.load, self.slos, jobs=self._jobs, progress=self._progress, runner=self._runner)

    @property
    def admits_all(self) -> bool:
        """Whether all requests are let in, so that none of them may be more than a full system answers."""
        return self._case.cluster.admission_policy == "always-admit"

    def fill(self, effort: Effort, num_instances: int | None = None) -> FullSystem:
        """Find what a full system answers; from now on, no more than that counts as sustainable.

        Args:
            effort: requests, more if they don't fill it, and replications.
            num_instances: None: those of the case.
        """
        case = filled(self._on(self._case, num_instances))

        def run(table: RequestTable) -> Outcomes:
            return self._runner.run(dataclasses.replace(case, workload=table))

        most = max(MOST_GROWTH * effort.num_requests, MOST_TO_FILL) if self.load.can_grow else sys.maxsize
        at, full = fill(run, self.load, effort.num_requests, most)
        if at is None:
            raise WorkloadError("workload: none of its requests is answered; all are refused")
        if full is not None and effort.replications > 1:
            full = self._full_rate(run, at, range(effort.replications), full)
        per_s = at.per_s / requests_per_arrival(at.table)
        self._full = FullSystem(per_s, case.cluster.num_instances, full)
        return self._full

    def _full_rate(self, run: Run, at: Guess, replications: range, first: Estimate) -> Estimate | None:
        """The mean over replications; its interval is no narrower than that of as many single runs."""
        others = self._each(lambda number: full_rate(run, self.load, at, number), replications[1:])
        singles = [first, *(each for each in others if each is not None)]
        if len(singles) < len(replications):
            return None
        mean = over_replications(np.array([each.mean for each in singles]), CONFIDENCE)
        within = float(np.mean([each.high - each.low for each in singles])) / 2 / math.sqrt(len(singles))
        half = max(mean.high - mean.mean, within)
        return dataclasses.replace(mean, low=mean.mean - half, high=mean.mean + half)

    def evaluate(
        self, rate: float, effort: Effort, *, num_instances: int | None = None, first_seed: int = 0, pilot: bool = False
    ) -> Point:
        """Try a rate.

        Args:
            rate: arrivals per second.
            effort: how much to simulate.
            num_instances: None: those of the case.
            first_seed: replications are counted from here.
            pilot: give up early on a load that is hopeless.
        """
        instances = num_instances or self._case.cluster.num_instances
        sustainable = self._sustainable(rate, instances)
        if pilot and self.load.can_grow and effort.num_requests >= FEWEST_FOR_PILOT:
            first = Effort(max(int(effort.num_requests * PILOT_SHARE), FEWEST_FOR_PILOT // 2), 1)
            samples = self._samples(rate, first, num_instances, first_seed)
            point = Point(rate, instances, first, samples, self.slos, True, sustainable)
            if point.stable is False and max(point.strains.values()) > HOPELESS_STRAIN:
                return self._told(point)
        samples = self._samples(rate, effort, num_instances, first_seed)
        return self._told(Point(rate, instances, effort, samples, self.slos, sustainable=sustainable))

    def _samples(self, rate: float, effort: Effort, instances: int | None, first_seed: int) -> tuple[Sample, ...]:
        count = effort.replications if self.load.is_drawn else 1
        numbers = range(first_seed, first_seed + count)

        def sample(replication: int) -> Sample:
            workload = self.load.at(rate, effort.num_requests, replication)
            seed = self.load.seed_of(replication)
            case = self._on(dataclasses.replace(self._case, workload=workload, seed=seed), instances)
            return measure(self._runner.run(case), self.slos)

        samples = tuple(self._each(sample, numbers))
        self._check_limited(samples)
        self._warn_of_refused(samples, rate)
        return samples

    def _each(self, of: Callable[[int], Found], numbers: range) -> list[Found]:
        """Replications in threads, in their order."""
        jobs = min(self._jobs, len(numbers))
        done = dict(in_threads(lambda number: (number, of(number)), numbers, jobs, self._runner.stop))
        return [done[number] for number in numbers]

    def _check_limited(self, samples: tuple[Sample, ...]) -> None:
        """Refuse limits of what no request has: nothing could miss them."""
        missing = frozenset.intersection(*(sample.missing for sample in samples))
        for objective in self.slos.objectives:
            if objective.metric in missing:
                why = _WHY_MISSING.get(objective.metric, "no request is answered")
                limit = f"{objective.limit_us / 1000:g} ms"
                raise WorkloadError(f"slos: {objective.name}: {why}, so there is nothing to hold to {limit}")

    def _sustainable(self, rate: float, num_instances: int) -> bool | None:
        bears = None if self._full is None else self._full.bears(rate, num_instances)
        return bears if bears or self.admits_all else None

    def _on(self, case: Case, num_instances: int | None) -> Case:
        if num_instances is None:
            return case
        return dataclasses.replace(case, cluster=dataclasses.replace(case.cluster, num_instances=num_instances))

    def _told(self, point: Point) -> Point:
        if self._progress is not None:
            self._progress(point)
        return point

    def _warn_of_refused(self, samples: tuple[Sample, ...], rate: float) -> None:
        refused = sum(sample.num_refused for sample in samples)
        if refused and not self._warned:
            self._warned = True
            _log.warning("%d requests at %.4g per second can never be served; they are left out", refused, rate)
