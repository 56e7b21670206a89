"""`capacity` and `instances_for`: how much a deployment bears, and how many instances a load needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blis.api import as_workload
from blis.config.schema import ClusterOptions, Deployment, EngineOptions
from blis.errors import ConfigError
from blis.report.answer import Answer
from blis.studies.capacity.curve import curve_of_instances, curve_of_rates
from blis.studies.capacity.evaluating import Evaluator, Progress
from blis.studies.capacity.loads import Load, Unit
from blis.studies.capacity.objectives import GOODPUT, Objective, Slos
from blis.studies.capacity.points import Effort, Point, finite
from blis.studies.capacity.search import Verdict
from blis.studies.capacity.sizing import Bounds, checked_rate, fewest, sized
from blis.studies.capacity.step_error import StepError, step_error, step_error_of_instances
from blis.studies.sweep.runner import Case
from blis.workload.workload import Frame, Workload

if TYPE_CHECKING:
    import polars as pl

_log = logging.getLogger("blis")

NUM_REQUESTS = 2000
REPLICATIONS = 8
TOLERANCE = 0.01
MAX_INSTANCES = 256
#: Plans ask for a rate higher by this share, unless told otherwise.
MARGIN = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class Capacity(Answer):
    """The highest rate at which a deployment meets its SLOs.

    Attributes:
        verdict: ``found``, ``none``: even the lowest rate misses, ``no limit``: even the highest one meets, or ``too
            short to tell``: so few requests say nothing of a limit.
        rate: the highest that was seen to meet all SLOs, with a backlog that does not grow, of ``unit`` per second;
            None: there is none.
        unit: ``requests``; of specs whose clients send sessions ``sessions``, of such with both ``arrivals``.
        low: lower end of the 95 % interval of the limit.
        high: its upper end, at least the lowest rate that was seen to miss. Both None unless a limit was found.
        is_sampled: whether the interval allows for the luck of the draw; a trace is one sequence of requests, whose
            interval is the last bracket.
        binding: the figure that stands in the way of more, or ``backlog``.
        utilisation: rate / saturation_rate; None if either is not known.
        saturation_rate: requests per second that are answered while the system is full; None: there are too few to fill
            it, or they wait for others (`Load.waits`).
        backlog: whether the backlog keeps its level at ``rate``.
        step_error: what errors of the step times do to the rate; None: not stated for this model of step time.
        slos: what had to hold.
        points: what the search tried, by rate; runs near the limit are longer.
        curve_points: each SLO's figures against load, by rate: points whose runs are all of one length.
        configuration: version, seed, resolved configuration and inputs, as plain JSON values.
    """

    verdict: Verdict
    rate: float | None
    unit: Unit
    low: float | None
    high: float | None
    is_sampled: bool
    binding: str | None
    utilisation: float | None
    saturation_rate: float | None
    backlog: str | None
    step_error: StepError | None
    slos: Slos
    points: tuple[Point, ...]
    curve_points: tuple[Point, ...]
    configuration: Mapping[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per point of the curve: figures, their intervals, and what was simulated for them; latencies in ms."""
        return [_row(point, self.saturation_rate) for point in self.curve_points]

    @property
    def curve(self) -> pl.DataFrame:
        """These rows as a table."""
        return _table(self.rows)


@dataclass(frozen=True, eq=False, repr=False)
class InstancesNeeded(Answer):
    """The fewest instances that meet the SLOs at a rate.

    Attributes:
        rate: of ``unit`` per second.
        unit: as in `Capacity`.
        num_instances: the fewest; None: not even ``max_instances`` are enough.
        max_instances: most that were allowed.
        binding: the figure that is closest to its limit with them, or furthest beyond.
        utilisation: rate / (instances * saturation_rate); None as in `Capacity`.
        saturation_rate: what one full instance answers per second; None as there.
        backlog: whether the backlog keeps its level.
        step_error: as there, of the number of instances.
        slos: what had to hold.
        points: what the search tried, by number of instances; runs grow where it is not clear whether they are enough.
        curve_points: the same numbers of instances, with runs that are all of one length.
        configuration: as in `Capacity`, of one instance.
    """

    rate: float
    unit: Unit
    num_instances: int | None
    max_instances: int
    binding: str
    utilisation: float | None
    saturation_rate: float | None
    backlog: str
    step_error: StepError | None
    slos: Slos
    points: tuple[Point, ...]
    curve_points: tuple[Point, ...]
    configuration: Mapping[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per point of the curve, by number of instances; latencies in ms."""
        return [_row(point, self.saturation_rate, per_instance=True) for point in self.curve_points]

    @property
    def curve(self) -> pl.DataFrame:
        """These rows as a table."""
        return _table(self.rows)


def capacity(
    deployment: Deployment | str,
    workload: Workload | Frame | str | Path,
    slos: Iterable[str | Objective] | str,
    *,
    goodput: float | None = None,
    engine: EngineOptions | None = None,
    cluster: ClusterOptions | None = None,
    seed: int | None = None,
    num_requests: int = NUM_REQUESTS,
    replications: int = REPLICATIONS,
    tolerance: float = TOLERANCE,
    min_rate: float | None = None,
    max_rate: float | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Capacity:
    """Find the highest request rate that meets SLOs (docs/capacity.md).

    Args:
        deployment: what runs on which hardware; a model id alone takes that model's defaults.
        workload: what arrives; its own rate and number of requests do not matter. Traces are stretched in time.
        slos: such as ``p99_ttft=200ms`` or, held by each request, ``ttft=200ms``.
        goodput: share of requests that must keep all limits per request; None: 0.99 if there are any.
        engine: vLLM server parameters.
        cluster: how many instances, and their admission and routing.
        seed: of the first replication; the others follow it.
        num_requests: of a run, at first; runs grow up to 64 times that, until the answer is as exact as asked for.
        replications: runs per rate near the limit.
        tolerance: relative width to which the rate is found.
        min_rate: nothing is tried below; None: 1/1024 of the saturation rate.
        max_rate: nor above this; None: the saturation rate, or 16 times a guess of it where that is not known.
        jobs: threads; None: one per CPU.
        progress: called after each point.

    Raises:
        InputError: something asked for is wrong.
        EngineError: a run failed.
    """
    _check_effort(num_requests, replications)
    if not 1e-4 <= tolerance <= 0.5:
        raise ConfigError(f"tolerance: must be in [0.0001, 0.5], got {tolerance:g}")
    evaluator = _evaluator(deployment, workload, Slos.of(slos, goodput), engine, cluster, seed, jobs, progress)
    load = evaluator.load
    effort = Effort(num_requests, replications if load.is_drawn else 1)
    bounds = Bounds(tolerance, min_rate, max_rate)
    found = sized(evaluator, effort, bounds)
    full = found.full
    return Capacity(
        verdict=found.verdict,
        rate=found.rate,
        unit=load.unit,
        low=found.low,
        high=found.high,
        is_sampled=found.is_sampled,
        binding=found.binding,
        utilisation=None if found.rate is None or full.rate is None else found.rate / full.rate,
        saturation_rate=full.rate,
        backlog=None if found.meets is None else found.meets.backlog,
        step_error=step_error(evaluator, effort, bounds, found),
        slos=evaluator.slos,
        points=_sorted(found.points),
        curve_points=curve_of_rates(evaluator, found, bounds),
        configuration=evaluator.describe(),
    )


def instances_for(
    rate: float,
    deployment: Deployment | str,
    workload: Workload | Frame | str | Path,
    slos: Iterable[str | Objective] | str,
    *,
    goodput: float | None = None,
    engine: EngineOptions | None = None,
    cluster: ClusterOptions | None = None,
    seed: int | None = None,
    num_requests: int = NUM_REQUESTS,
    replications: int = REPLICATIONS,
    max_instances: int = MAX_INSTANCES,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> InstancesNeeded:
    """Find the fewest instances that meet SLOs at a rate.

    Args:
        rate: requests per second; of specs with sessions, sessions.
        deployment: of each instance; this and what follows is as in `capacity`.
        workload: as there.
        slos: as there.
        goodput: as there.
        engine: as there.
        cluster: policies; its number of instances does not matter.
        seed: as there.
        num_requests: as there; runs grow while it is not clear whether a number of instances is enough.
        replications: runs per number of instances.
        max_instances: no more are tried.
        jobs: as there.
        progress: as there.

    Raises:
        InputError: something asked for is wrong.
        EngineError: a run failed.
    """
    _check_effort(num_requests, replications)
    checked_rate("rate", rate)
    if not 1 <= max_instances <= 2**16:
        raise ConfigError(f"max_instances: must be in [1, {2**16}], got {max_instances}")
    evaluator = _evaluator(deployment, workload, Slos.of(slos, goodput), engine, cluster, seed, jobs, progress)
    load = evaluator.load
    effort = Effort(num_requests, replications if load.is_drawn else 1)
    full = evaluator.fill(effort, 1)
    found = fewest(evaluator, full, rate, effort, range(1, max_instances + 1))
    shown = found.meets or found.misses
    assert shown is not None
    return InstancesNeeded(
        rate=rate,
        unit=load.unit,
        num_instances=None if found.meets is None else found.meets.num_instances,
        max_instances=max_instances,
        binding=shown.binding,
        utilisation=None if full.rate is None else rate / (shown.num_instances * full.rate),
        saturation_rate=full.rate,
        backlog=shown.backlog,
        step_error=step_error_of_instances(
            evaluator, rate, effort, max_instances, None if found.meets is None else found.meets.num_instances
        ),
        slos=evaluator.slos,
        points=_sorted(found.points),
        curve_points=curve_of_instances(evaluator, shown, found.points, max_instances),
        configuration=evaluator.describe(),
    )


def _table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(rows, infer_schema_length=None)


def _row(point: Point, saturation_rate: float | None, *, per_instance: bool = False) -> dict[str, Any]:
    """What there is to say of a point; the utilisation is of one instance, or of all."""
    row: dict[str, Any] = {
        "rate_per_s": point.rate,
        "num_instances": point.num_instances,
        "utilisation": saturation_rate and point.rate / saturation_rate / (point.num_instances if per_instance else 1),
        "meets_slos": point.meets,
        "strain": finite(max(point.strains.values())),
        "backlog": point.backlog,
        "output_tokens_per_s": point.output_tokens_per_s,
    }
    for name in point.slos.names:
        estimate = point.estimates[name]
        key, unit = (name, 1.0) if name == GOODPUT else (f"{name}_ms", 1000.0)
        for suffix, value in (("", estimate.mean), ("_low95", estimate.low), ("_high95", estimate.high)):
            row[key + suffix] = finite(value / unit)
    return {
        **row,
        "num_requests": point.num_requests,
        "replications": len(point.samples),
        "stopped_early": point.stopped_early,
    }


def _sorted(points: Sequence[Point]) -> tuple[Point, ...]:
    """By rate and instances; left out are points that ones with more requests lie around, or contradict."""

    def place(point: Point) -> tuple[float, int]:
        return point.rate, point.num_instances

    def is_overtaken(point: Point) -> bool:
        better = [other for other in points if _size(other) > _size(point)]
        places = [place(other) for other in better]
        if places and min(places) <= place(point) <= max(places):
            return True
        return any(other.meets != point.meets and (_load(other) < _load(point)) == point.meets for other in better)

    return tuple(sorted((point for point in points if not is_overtaken(point)), key=place))


def _load(point: Point) -> float:
    return point.rate / point.num_instances


def _size(point: Point) -> int:
    return point.effort.num_requests * len(point.samples)


def _evaluator(
    deployment: Deployment | str,
    workload: Workload | Frame | str | Path,
    slos: Slos,
    engine: EngineOptions | None,
    cluster: ClusterOptions | None,
    seed: int | None,
    jobs: int | None,
    progress: Progress | None,
) -> Evaluator:
    if isinstance(deployment, str):
        deployment = Deployment(deployment)
    workload = as_workload(workload)
    case = Case(deployment, workload, engine or EngineOptions(), cluster or ClusterOptions())
    evaluator = Evaluator(case, Load(workload, seed), slos, jobs=jobs, progress=progress)
    for text in evaluator.resolved.warnings:
        _log.warning("%s", text)
    return evaluator


def _check_effort(num_requests: int, replications: int) -> None:
    if not 100 <= num_requests <= 10**7:
        raise ConfigError(f"num_requests: must be in [100, 10000000], got {num_requests}")
    if not 1 <= replications <= 1000:
        raise ConfigError(f"replications: must be in [1, 1000], got {replications}")
