"""The curve of an answer: points whose runs are of one length, so that what differs between them is the load alone.

A search tries far loads with short runs and near ones with long runs. Short ones are too kind to heavy loads, so its
points make no curve.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blis.studies.capacity.evaluating import Evaluator
from blis.studies.capacity.points import Effort, Point
from blis.studies.capacity.sizing import Bounds, Sized

#: Rates at which there is a point, relative to the answer.
LOADS = (0.25, 0.5, 0.75, 0.9, 1.05)
#: A point that was tried so close by, relatively, takes its place.
_NEAR = 0.04
#: Replications of points that were not tried with more.
_REPLICATIONS = 3


def curve_of_rates(evaluator: Evaluator, found: Sized, bounds: Bounds) -> tuple[Point, ...]:
    """Points around the highest rate that meets the SLOs, by rate; those that were tried, if there is none.

    Args:
        evaluator: of the deployment.
        found: the answer.
        bounds: where it was looked for; no point lies outside.
    """
    answer = found.meets or min(found.points, key=lambda point: point.rate)
    points = _of_length(found.points, answer.effort.num_requests)
    if found.meets is not None:
        lowest, highest = bounds.searched(found.full, evaluator)
        rates = (float(f"{answer.rate * load:.3g}") for load in LOADS)
        missing = [
            rate
            for rate in rates
            if lowest <= rate <= highest and not any(abs(point.rate / rate - 1) < _NEAR for point in points)
        ]
        points += [evaluator.evaluate(rate, _effort(answer)) for rate in missing]
    return tuple(sorted(points, key=lambda point: point.rate))


def curve_of_instances(
    evaluator: Evaluator, answer: Point, tried: Sequence[Point], max_instances: int
) -> tuple[Point, ...]:
    """A point for each number of instances that was tried, and for one less and one more than the answer.

    Args:
        evaluator: of the deployment.
        answer: the point that the answer is about.
        tried: all points of the search.
        max_instances: most that were allowed.

    Returns:
        Points by number of instances.
    """
    points = _of_length(tried, answer.effort.num_requests)
    wanted = {point.num_instances for point in tried}
    wanted |= {answer.num_instances + more for more in (-1, 1)} & set(range(1, max_instances + 1))
    missing = wanted - {point.num_instances for point in points}
    points += [evaluator.evaluate(answer.rate, _effort(answer), num_instances=count) for count in sorted(missing)]
    return tuple(sorted(points, key=lambda point: point.num_instances))


def _of_length(points: Iterable[Point], num_requests: int) -> list[Point]:
    """Those with so many requests in each run; of one load the one with most runs."""
    best: dict[tuple[float, int], Point] = {}
    for point in points:
        if point.effort.num_requests != num_requests or point.stopped_early:
            continue
        load = point.rate, point.num_instances
        if load not in best or len(best[load].samples) < len(point.samples):
            best[load] = point
    return list(best.values())


def _effort(answer: Point) -> Effort:
    return Effort(answer.effort.num_requests, min(answer.effort.replications, _REPLICATIONS))
