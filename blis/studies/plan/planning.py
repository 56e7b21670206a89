"""`plan`: the cheapest deployment that meets SLOs, and those that nothing else beats."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blis.errors import ConfigError, InputError
from blis.files.shown import summed_up
from blis.report.answer import Answer
from blis.studies.capacity.evaluating import MOST_NUMBERS, Evaluator, Progress
from blis.studies.capacity.loads import Load, Unit
from blis.studies.capacity.measuring import ALWAYS
from blis.studies.capacity.points import Effort, Point, finite
from blis.studies.capacity.search import FEW
from blis.studies.capacity.sizing import fewest
from blis.studies.capacity.step_error import StepError, step_error_of_instances, step_error_row
from blis.studies.plan.command import run_command
from blis.studies.plan.file import Candidate, PlanFile, load_plan
from blis.studies.processes import can_split, in_processes
from blis.studies.sweep.cases import Cases
from blis.studies.sweep.runner import Runner
from blis.studies.sweep.threads import default_jobs

if TYPE_CHECKING:
    import polars as pl

#: Replications of verification are counted from here: seeds that the search never saw.
FRESH_SEEDS = 10_000
#: Hours of a month that is a twelfth of a year.
HOURS_PER_MONTH = 730
#: Part of saturation at which an instance is as good as idle.
IDLE = 0.01

_log = logging.getLogger("blis")


@dataclass(frozen=True, eq=False, repr=False)
class Choice:
    """A deployment that meets the SLOs, verified with seeds that were not used to find it.

    Attributes:
        candidate: what it is.
        hardware: name of the GPU.
        num_instances: how many.
        num_gpus: of all instances.
        cost_per_hour: of these.
        saturation_rate: requests per second that are answered when full; None: not known.
        with_margin: at the rate with the margin, fresh seeds.
        at_rate: at the rate itself, fresh seeds.
        command: that simulates it.
        step_error: how many instances are enough, with the margin, if steps are longer, or shorter, by as much as they
            may be; None: that is not stated.
    """

    candidate: Candidate
    hardware: str
    num_instances: int
    num_gpus: int
    cost_per_hour: float
    saturation_rate: float | None
    with_margin: Point
    at_rate: Point
    command: str
    step_error: StepError | None

    def __repr__(self) -> str:
        what = _settings(self.candidate)
        return summed_up(self, f"{self.num_instances} x {what}, {self.cost_per_hour:.2f} per hour")

    @property
    def cost_per_month(self) -> float:
        """Of 730 hours."""
        return self.cost_per_hour * HOURS_PER_MONTH

    @property
    def cost_per_million_output_tokens(self) -> float | None:
        """At the rate; None if there are no output tokens."""
        tokens = self.at_rate.output_tokens_per_s
        return self.cost_per_hour / 3600 / tokens * 1e6 if tokens else None

    @property
    def costs(self) -> tuple[float, ...]:
        """What the front goes by, each the lower the better: cost, `Slos.latencies`, and minus throughput.

        What no request has, and a throughput that is not known, are as good as nothing.
        """
        means = (self.at_rate.estimates[name].mean for name in self.at_rate.slos.latencies)
        latencies = (0.0 if math.isnan(mean) else mean for mean in means)
        return (self.cost_per_hour, *latencies, -(self.saturation_rate or 0.0))


@dataclass(frozen=True, eq=False, repr=False)
class Rejected:
    """A deployment that is none.

    Attributes:
        candidate: what it is.
        reason: why not.
        strain: how much of the limit it uses up that it misses most; None: it cannot run at all.
        missed: the name of that figure.
    """

    candidate: Candidate
    reason: str
    strain: float | None = None
    missed: str | None = None

    def __repr__(self) -> str:
        return summed_up(self, f"{_settings(self.candidate)}: {self.reason}")


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Answer):
    """What to deploy.

    Attributes:
        rate: to plan for, of ``unit`` per second.
        unit: as in `blis.studies.capacity.capacity.Capacity`.
        file: what was asked for.
        choices: deployments that meet the SLOs, cheapest first.
        rejected: the others, in the file's order.
    """

    rate: float
    unit: Unit
    file: PlanFile
    choices: tuple[Choice, ...]
    rejected: tuple[Rejected, ...]

    @property
    def best(self) -> Choice | None:
        """The cheapest; None: nothing meets the SLOs."""
        return self.choices[0] if self.choices else None

    @property
    def front(self) -> tuple[Choice, ...]:
        """Choices that no other one beats in cost, latencies (`Slos.latencies`) and throughput at once."""
        return tuple(one for one in self.choices if not any(_beats(other, one) for other in self.choices))

    @property
    def has_beaten(self) -> bool:
        """Whether there are others than these, so that they are worth a mark."""
        return len(self.front) < len(self.choices)

    @property
    def closest(self) -> Rejected | None:
        """Which of the rejected ones misses its worst limit by least."""
        missed = [one for one in self.rejected if one.strain is not None]
        return min(missed, key=lambda one: one.strain or 0.0, default=None)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per choice, cheapest first; latencies in ms."""
        front = self.front
        return [_row(one, one in front) for one in self.choices]

    @property
    def frame(self) -> pl.DataFrame:
        """These rows as a table."""
        import polars as pl

        return pl.DataFrame(self.rows, infer_schema_length=None)


def plan(spec: str | Path | Mapping[str, Any], *, jobs: int | None = None, progress: Progress | None = None) -> Plan:
    """Find the cheapest deployment that meets SLOs (docs/plan.md).

    Args:
        spec: path of a plan file, or its content as nested mappings, in which workloads and laws of step time may
            stand themselves.
        jobs: processes, or threads where this process cannot be copied; None: one per CPU.
        progress: called for each point that was tried; of a process, when it is done with a deployment.

    Raises:
        InputError: the plan file, or something it asks for, is wrong. A deployment that cannot run (it does not fit its
            GPUs, say) is none: it is among the rejected.
        EngineError: a run failed.
    """
    file = load_plan(spec)
    planner = _Planner(file, jobs, progress)
    prepared = [planner.prepared(candidate) for candidate in file.candidates]  # mistakes before anything runs
    can_run = [one for one in prepared if isinstance(one, _Prepared)]
    if not can_run:
        reason = next(one.reason for one in prepared if isinstance(one, Rejected))
        raise ConfigError(f"{file.source}: none of the deployments can run; {reason}")
    sized = iter(planner.all_sized(can_run))
    found = [next(sized) if isinstance(one, _Prepared) else one for one in prepared]
    choices = [one for one in found if isinstance(one, Choice)]
    rejected = [one for one in found if isinstance(one, Rejected)]
    return Plan(
        can_run[0].rate,
        can_run[0].evaluator.load.unit,
        file,
        tuple(sorted(choices, key=lambda one: one.costs)),
        tuple(rejected),
    )


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A candidate that can run."""

    candidate: Candidate
    evaluator: Evaluator
    rate: float
    price: float


class _Planner:
    """Tries candidates one after the other."""

    def __init__(self, file: PlanFile, jobs: int | None, progress: Progress | None) -> None:
        if jobs is not None and jobs < 1:
            raise ConfigError(f"jobs: must be at least 1, got {jobs}")
        self._file = file
        jobs = jobs or default_jobs()
        self._processes = min(jobs, len(file.candidates)) if can_split() else 1
        self._threads = jobs if self._processes == 1 else 1
        self._progress = progress
        self._points: list[Point] = []
        self._cases = Cases(file.folder)
        self._runner = Runner(MOST_NUMBERS)
        self._told: set[str] = set()

    def prepared(self, candidate: Candidate) -> _Prepared | Rejected:
        """The candidate, ready to be tried, or why it cannot run."""
        try:
            case = self._cases.case({**candidate.settings, "num_instances": 1})
            resolved = self._runner.check(case)
        except InputError as error:
            return Rejected(candidate, " ".join(str(error).split()))
        for text in resolved.warnings:
            if text not in self._told:
                _log.warning("%s", text)
        self._told.update(resolved.warnings)
        load = Load(case.workload, case.seed)
        if load.own_rate is None:
            raise ConfigError(f"{self._file.source}: base: the workload does not say its rate; set its aggregate_rate")
        evaluator = Evaluator(case, load, self._file.slos, jobs=self._threads, progress=self._tell, runner=self._runner)
        price = self._file.price(candidate, evaluator.resolved.hardware)
        return _Prepared(candidate, evaluator, load.own_rate, price)

    def _tell(self, point: Point) -> None:
        self._points.append(point)
        if self._progress is not None:
            self._progress(point)

    def all_sized(self, prepared: Sequence[_Prepared]) -> list[Choice | Rejected]:
        """The candidates with as many instances as they need: each in a process of its own, where that is possible."""
        if self._processes == 1:
            return [self.sized(one) for one in prepared]
        prepared[0].evaluator.load_engine()
        found: dict[int, Choice | Rejected] = {}
        for index, (one, points) in in_processes(self._alone, prepared, self._processes):
            found[index] = one
            for point in points:
                self._tell(point)
        return [found[index] for index in range(len(prepared))]

    def _alone(self, prepared: _Prepared) -> tuple[Choice | Rejected, list[Point]]:
        """What one of several processes does; whoever waits for points gets them from the first one."""
        self._points, self._progress = [], None
        return self.sized(prepared), self._points

    def sized(self, prepared: _Prepared) -> Choice | Rejected:
        """The candidate with as many instances as it needs, or why there is no such number."""
        candidate, evaluator, rate = prepared.candidate, prepared.evaluator, prepared.rate
        file = self._file
        target = rate * (1 + file.margin)
        effort = Effort(file.num_requests, file.replications if evaluator.load.is_drawn else 1)
        full = evaluator.fill(effort, 1)
        most = candidate.num_instances or file.max_instances
        if full.least(target) > most and full.rate is not None:
            most_of = f"{full.rate:.4g} {evaluator.load.unit} per second"
            reason = f"a full instance answers {most_of}; {full.least(target)} would be needed"
            return Rejected(candidate, reason, target / full.rate / most, "backlog")
        idle = evaluator.evaluate(IDLE * full.guess_per_s, Effort(file.num_requests, min(FEW, effort.replications)))
        if not idle.meets:
            return _missing(candidate, idle, "even an idle instance")
        found = fewest(evaluator, full, target, effort, range(candidate.num_instances or 1, most + 1))
        if found.meets is None:
            assert found.misses is not None
            return _missing(candidate, found.misses, f"{most} instance{'s' if most > 1 else ''}")
        point = found.meets
        for count in range(point.num_instances, most + 1):
            with_margin, at_rate = (
                evaluator.evaluate(load, point.effort, num_instances=count, first_seed=FRESH_SEEDS)
                for load in (target, rate)
            )
            if with_margin.meets and _is_sure(at_rate):
                resolved = evaluator.resolved
                gpus = (resolved.tp or 1) * count
                number = file.num_requests if evaluator.load.can_grow else None
                command = run_command(candidate.settings, file.folder, count, number)
                hardware = resolved.hardware or str(candidate.settings.get("hardware"))
                return Choice(
                    candidate,
                    hardware,
                    count,
                    gpus,
                    gpus * prepared.price,
                    None if full.rate is None else full.rate * count,
                    with_margin,
                    at_rate,
                    command,
                    self._step_error(prepared, effort, count),
                )
            _log.info("%s with %d instances fails with other seeds", candidate.place, count)
        return _missing(candidate, with_margin, f"with other seeds, {most} instance{'s' if most > 1 else ''}")

    def _step_error(self, prepared: _Prepared, effort: Effort, count: int) -> StepError | None:
        target = prepared.rate * (1 + self._file.margin)
        found = count if prepared.candidate.num_instances is None else None
        return step_error_of_instances(prepared.evaluator, target, effort, self._file.max_instances, found)


def _is_sure(point: Point) -> bool:
    """Whether SLOs are met at the bad end of the intervals, too, as far as there are any."""
    return point.meets and (len(point.samples) < 2 or point.strains_high <= 1)


def _missing(candidate: Candidate, point: Point, who: str) -> Rejected:
    from blis.studies.capacity.report import limit_text, value_text

    name = point.binding
    if name == "backlog":
        return Rejected(candidate, f"{who}: the backlog grows", max(1.0, *point.strains.values()), name)
    value, limit = point.estimates[name].mean, limit_text(point.slos, name)
    reason = f"{who}: {name} is {value_text(name, value)} at {point.rate:.4g} per second; asked for: {limit}"
    return Rejected(candidate, reason, point.strains[name], name)


def _settings(candidate: Candidate) -> str:
    return ", ".join(f"{name}={value}" for name, value in candidate.differing.items())


def _beats(one: Choice, other: Choice) -> bool:
    """Whether it is nowhere worse, and somewhere better."""
    return one.costs != other.costs and all(a <= b for a, b in zip(one.costs, other.costs, strict=True))


def _row(one: Choice, on_front: bool) -> dict[str, Any]:
    from blis.studies.capacity.objectives import GOODPUT
    from blis.studies.sweep.keys import KEYS

    figures = one.at_rate.estimates
    names = dict.fromkeys([*one.at_rate.slos.names, *ALWAYS])
    return {
        **{name: KEYS[name].cell(value) for name, value in one.candidate.differing.items()},
        "hardware": one.hardware,
        "num_instances": one.num_instances,
        "num_gpus": one.num_gpus,
        "cost_per_hour": one.cost_per_hour,
        "cost_per_month": one.cost_per_month,
        "cost_per_million_output_tokens": one.cost_per_million_output_tokens,
        **{
            name if name == GOODPUT else f"{name}_ms": finite(figures[name].mean / (1 if name == GOODPUT else 1000))
            for name in names
        },
        "output_tokens_per_s": one.at_rate.output_tokens_per_s,
        "saturation_rate_per_s": one.saturation_rate,
        "strain_with_margin": one.with_margin.strain,
        **step_error_row(one.step_error, "num_instances"),
        "on_front": on_front,
        "command": one.command,
    }
