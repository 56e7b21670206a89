"""Tries loads on deployments: runs, in threads, from a point's description to its figures."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

from blis.api import describe_run
from blis.config.resolve import Resolved
from blis.errors import ConfigError, WorkloadError
from blis.studies.capacity.loads import Load, requests_per_arrival
from blis.studies.capacity.measuring import Sample, measure, throughput_per_s
from blis.studies.capacity.objectives import Slos
from blis.studies.capacity.points import Effort, Point
from blis.studies.sweep.runner import Case, Runner
from blis.studies.sweep.threads import default_jobs, in_threads

#: Gets every point that was tried.
Progress = Callable[[Point], None]

#: Of a run that may be hopeless, this share of the requests is tried first.
PILOT_SHARE = 0.25
#: It is hopeless if the backlog grows, and a limit is missed by this factor.
HOPELESS_STRAIN = 2.0
#: Requests of a run that a pilot pays for.
FEWEST_FOR_PILOT = 400

#: What a runner keeps: requests of one rate are of no use at the next.
MOST_NUMBERS = 2**22

_log = logging.getLogger("blis")


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
        self.resolved: Resolved = self._runner.check(case)

    def describe(self) -> dict[str, Any]:
        """Resolved configuration and inputs, as plain JSON values."""
        case = self._case
        return describe_run(self.resolved, case.cluster, case.workload, self.load.seed_of(0), case.horizon_us)

    def saturation(self, num_requests: int, num_instances: int | None = None) -> float:
        """Arrivals (`Load.unit`) per second that are answered when all are there from the start."""
        table = self.load.all_at_once(num_requests)
        outcomes = self._runner.run(self._on(dataclasses.replace(self._case, workload=table), num_instances))
        throughput = throughput_per_s(outcomes)
        if throughput is None:
            raise WorkloadError("workload: none of its requests is answered; all are rejected or refused")
        return throughput / requests_per_arrival(table)

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
        if pilot and self.load.can_grow and effort.num_requests >= FEWEST_FOR_PILOT:
            first = Effort(max(int(effort.num_requests * PILOT_SHARE), FEWEST_FOR_PILOT // 2), 1)
            samples = self._samples(rate, first, num_instances, first_seed)
            point = Point(rate, instances, first, samples, self.slos, stopped_early=True)
            if point.stable is False and max(point.strains.values()) > HOPELESS_STRAIN:
                return self._told(point)
        samples = self._samples(rate, effort, num_instances, first_seed)
        return self._told(Point(rate, instances, effort, samples, self.slos))

    def _samples(self, rate: float, effort: Effort, instances: int | None, first_seed: int) -> tuple[Sample, ...]:
        count = effort.replications if self.load.is_drawn else 1
        numbers = range(first_seed, first_seed + count)

        def sample(replication: int) -> tuple[int, Sample]:
            workload = self.load.at(rate, effort.num_requests, replication)
            seed = self.load.seed_of(replication)
            case = self._on(dataclasses.replace(self._case, workload=workload, seed=seed), instances)
            return replication, measure(self._runner.run(case), self.slos)

        done = dict(in_threads(sample, numbers, min(self._jobs, count), self._runner.stop))
        samples = tuple(done[number] for number in numbers)
        self._warn_of_refused(samples, rate)
        return samples

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
