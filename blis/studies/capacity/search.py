"""Searches for the highest rate, or the fewest instances, with which SLOs are met.

The search knows nothing of simulation: it asks for points. It takes for granted that more load is never better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from blis.studies.capacity.points import MOST_GROWTH, Effort, Point

Verdict = Literal["found", "none", "no limit", "too short to tell"]

#: Replications while the limit is far.
FEW = 2
#: Factor between rates while there is no bracket yet.
STEP = 2.0
#: The lowest rate that is tried, relative to that of saturation, unless another is given.
LOWEST = 2.0**-10
#: The highest, likewise.
HIGHEST = 16.0
#: How much they grow at a time, at least and at most.
LEAST_GROWTH, MOST_GROWTH_AT_ONCE = 4, 16
#: A relative slope of a figure against the rate is not taken for flatter than this.
FLATTEST = 0.05
#: A bracket gets narrower by this part of its logarithm at least.
LEAST_PART = 0.1
#: Points further away than this factor say nothing about the slope.
NEAR = 1.3


class Evaluate(Protocol):
    """Tries a rate; with ``pilot`` it may give up early on one that is hopeless."""

    def __call__(self, rate: float, effort: Effort, *, pilot: bool = False) -> Point:
        """See `blis.studies.capacity.evaluating.Evaluator.evaluate`."""


@dataclass(frozen=True)
class Limits:
    """How exact, and how far.

    Attributes:
        tolerance: relative width to which the rate is found.
        lowest: rate below which nothing is tried.
        highest: rate above which nothing is tried.
        effort: the first number of requests in a run, and the most replications.
        can_grow: whether runs may have more requests.
        at_saturation: ``highest`` is what a full system answers, but for the tolerance: closer to that no run is long
            enough.
    """

    tolerance: float
    lowest: float
    highest: float
    effort: Effort
    can_grow: bool = True
    at_saturation: bool = False


@dataclass(frozen=True)
class FoundRate:
    """Where the limit is.

    Attributes:
        verdict: ``none``: even the lowest rate misses; ``no limit``: even the highest one meets; ``too short to tell``:
            it seems to, but nobody can tell whether the backlog grows.
        meets: the highest rate that was seen to meet, and of which it can be told that the backlog does not grow; None:
            there is none.
        misses: the lowest one that was seen to miss; None: there is none.
        half_width: of the 95 % interval of the rate, relative; None: unknown.
        points: all that were tried.
    """

    verdict: Verdict
    meets: Point | None
    misses: Point | None
    half_width: float | None
    points: tuple[Point, ...]


@dataclass
class _Level:
    """Points of one effort."""

    evaluate: Evaluate
    effort: Effort
    limits: Limits
    pilot: bool = False
    points: list[Point] = field(default_factory=list)

    def at(self, rate: float) -> Point:
        known = next((point for point in self.points if point.rate == rate), None)
        if known is None:
            known = self.evaluate(rate, self.effort, pilot=self.pilot)
            self.points.append(known)
        return known

    def bracket(self, low: float, high: float) -> tuple[Point | None, Point | None]:
        """The ends, moved apart until the lower one meets and the upper one misses; None: beyond the limits."""
        lowest, highest = self.limits.lowest, self.limits.highest
        step = high / low
        above: Point | None = None
        below = self.at(min(max(low, lowest), highest))
        while not below.meets:
            if below.rate <= lowest:
                return None, below
            above, below, step = below, self.at(max(below.rate / step, lowest)), min(step**2, STEP)
        while above is None:
            if below.rate >= highest:
                return below, None
            tried = self.at(min(below.rate * step, highest))
            below, above, step = (tried, None, min(step**2, STEP)) if tried.meets else (below, tried, step)
        return below, above

    def narrowed(self, below: Point, above: Point) -> tuple[Point, Point]:
        """Narrow the bracket until it is as asked for, or as there is any use."""
        is_slow = False
        while above.rate / below.rate > (wanted := self._wanted(below, above)):
            middle = self.at(math.sqrt(below.rate * above.rate) if is_slow else self._next(below, above, wanted))
            before = above.rate / below.rate
            below, above = (middle, above) if middle.meets else (below, middle)
            is_slow = above.rate / below.rate > math.sqrt(before)
        return below, above

    def _wanted(self, below: Point, above: Point) -> float:
        return 1 + max(self.limits.tolerance, (self.half_width(below, above) or 0.0) / 2)

    def _next(self, below: Point, above: Point, wanted: float) -> float:
        """A rate just beside where the binding figure should reach its limit, so that two of them are a bracket."""
        crossing = self.crossing(below, above)
        rate = crossing / math.sqrt(wanted) if crossing / below.rate > wanted else crossing * math.sqrt(wanted)
        inner: float = (above.rate / below.rate) ** LEAST_PART
        return min(max(rate, below.rate * inner), above.rate / inner)

    def crossing(self, below: Point, above: Point) -> float:
        """Where the figure that binds reaches its limit, if its logarithm goes straight; the middle if it does not."""
        name = above.binding
        ends = [self._used(point, name) for point in (below, above)] if name in above.estimates else [0.0, 0.0]
        if above.stable is False or not 0 < ends[0] < 1 < ends[1] < math.inf:
            return math.sqrt(below.rate * above.rate)
        part = math.log(1 / ends[0]) / math.log(ends[1] / ends[0])
        rate: float = below.rate * math.exp(part * math.log(above.rate / below.rate))
        return rate

    def half_width(self, below: Point, above: Point) -> float | None:
        """Relative half-width of the interval of the rate at which the binding figure reaches its limit.

        It is that of the figure, divided by how fast the figure grows with the rate (inverse prediction). If the
        backlog binds, it is that of the rate itself, as well as n arrivals tell it: about 2/√n.
        """
        if len(below.samples) < 2:
            return None
        name = above.binding
        if name == "backlog" or not math.isfinite(above.estimates[name].mean):
            return 2 / math.sqrt(below.effort.num_requests * len(below.samples))
        estimate = below.estimates[name]
        value = self._used(below, name)
        if value <= 0:
            return None
        ends = [below.slos.strain(name, end) for end in (estimate.low, estimate.high)]
        return abs(ends[1] - ends[0]) / 2 / value / self._slope(name, below, above)

    def _slope(self, name: str, below: Point, above: Point) -> float:
        """Growth of log(figure) with log(rate), over the widest stretch nearby."""
        near = [
            point
            for point in self.points
            if below.rate / NEAR <= point.rate <= above.rate * NEAR
            and point.stable is not False
            and 0 < self._used(point, name) < math.inf
        ]
        first = min(near, key=lambda point: point.rate, default=below)
        last = max([*near, above], key=lambda point: point.rate)
        if first.rate == last.rate or not 0 < self._used(first, name) < self._used(last, name) < math.inf:
            return FLATTEST
        rise = math.log(self._used(last, name) / self._used(first, name))
        return max(rise / math.log(last.rate / first.rate), FLATTEST)

    @staticmethod
    def _used(point: Point, name: str) -> float:
        return point.slos.strain(name, point.estimates[name].mean)


def find_rate(evaluate: Evaluate, start: float, limits: Limits) -> FoundRate:
    """Find the highest rate at which SLOs are met.

    First a bracket is found with few replications, in steps of 2 from a guess. There, all replications are made, and
    the bracket is narrowed from both sides to where the binding figure should reach its limit. The same is done with
    four times as many requests in each run, or more, closer by, until that changes the rate by less than the tolerance,
    the interval of the rate is no wider, and runs are long enough to tell whether the backlog grows. If even the
    highest rate meets the SLOs, runs grow until that can be told of it; and if that is the rate of a full system, as
    far as they may, since queues near it take long to build up.

    Args:
        evaluate: tries a rate.
        start: the first one, such as that of saturation.
        limits: how exact, and how far.
    """
    few = Effort(limits.effort.num_requests, min(FEW, limits.effort.replications))
    level = _Level(evaluate, few, limits, pilot=True)
    below, above = level.bracket(start / STEP, start)
    points, effort = list(level.points), limits.effort
    while above is None and below is not None and (below.stable is None or limits.at_saturation):
        longer = _larger(level.effort, below, None, limits, has_moved=True)
        if longer is None:
            break
        level = _Level(evaluate, longer, limits, pilot=True)
        below, above = level.bracket(below.rate / STEP, below.rate)
        points, effort = points + level.points, Effort(longer.num_requests, limits.effort.replications)
    half_width: float | None = None
    before: float | None = None
    larger: Effort | None = effort if above is not None else None
    while below is not None and larger is not None:
        effort, spread = larger, max(half_width or 0.0, limits.tolerance)
        middle = below.rate if above is None else level.crossing(below, above)
        level = _Level(evaluate, effort, limits)
        below, above = level.bracket(middle / math.sqrt(1 + spread), middle * math.sqrt(1 + spread))
        half_width = rate = None
        if below is not None and above is not None:
            below, above = level.narrowed(below, above)
            half_width, rate = level.half_width(below, above), math.sqrt(below.rate * above.rate)
        points = points + level.points
        if below is None or (above is None and not limits.at_saturation):
            break
        has_moved = before is None or rate is None or abs(rate / before - 1) > limits.tolerance
        larger, before = _larger(effort, below, half_width, limits, has_moved=has_moved), rate
    return _told(level, points, below, above, half_width)


def _told(
    level: _Level, points: list[Point], below: Point | None, above: Point | None, half_width: float | None
) -> FoundRate:
    """What can be said of the ends of the bracket that were found last."""
    verdict: Verdict = "none" if below is None else "no limit" if above is None else "found"
    if below is not None and below.stable is None:
        sure = [point for point in points if point.meets and point.stable and point.rate <= below.rate]
        best = max(sure, key=lambda point: point.rate, default=None)
        below, more = (best, ()) if best is not None else _sure_below(level, below)
        points = [*points, *more]
        verdict = "too short to tell" if below is None or above is None else "found"
    return FoundRate(verdict, below, above, half_width if verdict == "found" else None, tuple(points))


def _sure_below(level: _Level, meets: Point) -> tuple[Point | None, Sequence[Point]]:
    """The highest rate in steps of 2 below one that meets of which it can be told that its backlog does not grow."""
    known = len(level.points)
    rate = meets.rate / STEP
    while rate >= level.limits.lowest:
        point = level.at(rate)
        if point.meets and point.stable:
            return point, level.points[known:]
        rate /= STEP
    return None, level.points[known:]


def _larger(
    effort: Effort, below: Point, half_width: float | None, limits: Limits, *, has_moved: bool
) -> Effort | None:
    """The next effort; None: this one was enough, or the most that is made.

    Runs that are too short are too kind to heavy loads, all in the same way, so that no interval shows it; the only
    sign is that longer ones give another rate (``has_moved``).
    """
    most = limits.effort.num_requests * MOST_GROWTH
    if not limits.can_grow or effort.num_requests >= most:
        return None
    wanted = ((half_width or 0.0) / limits.tolerance) ** 2
    # at saturation itself no number of requests tells whether the backlog grows
    is_told = below.stable is not None or effort.num_requests * effort.replications >= 4 / limits.tolerance**2
    if wanted <= 1 and is_told and not has_moved:
        return None
    growth = min(max(2 ** math.ceil(math.log2(max(wanted, 1.0))), LEAST_GROWTH), MOST_GROWTH_AT_ONCE)
    return Effort(min(effort.num_requests * growth, most), effort.replications)


@dataclass(frozen=True)
class FoundInstances:
    """How many instances are enough.

    Attributes:
        meets: the fewest with which the SLOs were met; None: none up to the most that were allowed.
        misses: one less, or the most that were allowed; None: one instance is enough.
        points: all that were tried.
    """

    meets: Point | None
    misses: Point | None
    points: tuple[Point, ...]


def find_instances(
    evaluate: Callable[[int, Effort], Point], least: int, most: int, effort: Effort, *, can_grow: bool = True
) -> FoundInstances:
    """Find the fewest instances with which SLOs are met.

    Args:
        evaluate: tries a number of instances.
        least: fewer cannot be enough.
        most: that are allowed, >= least.
        effort: the first number of requests in a run, and replications; runs grow while it is not clear whether a
            number is enough, or whether the backlog grows.
        can_grow: whether they may.
    """
    points: list[Point] = []

    def tried(count: int) -> Point:
        asked = effort
        while True:
            point = evaluate(count, asked)
            points.append(point)
            is_sure = point.is_clear and (point.stable is not None or not point.meets)
            if is_sure or not can_grow or asked.num_requests >= effort.num_requests * MOST_GROWTH:
                return point
            asked = Effort(asked.num_requests * 4, asked.replications)

    below: Point | None = None
    count, step = least, 1
    above = tried(count)
    while not above.meets:
        if count >= most:
            return FoundInstances(None, above, tuple(points))
        below, count, step = above, min(count + step, most), step * 2
        above = tried(count)
    while below is not None and above.num_instances - below.num_instances > 1:
        middle = tried((above.num_instances + below.num_instances) // 2)
        below, above = (below, middle) if middle.meets else (middle, above)
    return FoundInstances(above, below, tuple(points))
