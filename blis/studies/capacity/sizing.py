"""From an evaluator to a rate, or to a number of instances: what a full system answers bounds the search."""

from __future__ import annotations

import math
from dataclasses import dataclass

from blis.errors import ConfigError
from blis.studies.capacity.evaluating import Evaluator, FullSystem
from blis.studies.capacity.points import MOST_GROWTH, Effort, Point
from blis.studies.capacity.saturation import GROWTH
from blis.studies.capacity.search import (
    HIGHEST,
    LOWEST,
    FoundInstances,
    FoundRate,
    Limits,
    Verdict,
    find_instances,
    find_rate,
)


@dataclass(frozen=True)
class Bounds:
    """Where a rate is looked for.

    Attributes:
        tolerance: relative width to which it is found.
        min_rate: nothing is tried below; None: 1/1024 of what a full system answers.
        max_rate: nor above; None: 16 times that. More than a full system answers is never tried.
        can_grow: whether runs may get more requests.
    """

    tolerance: float
    min_rate: float | None = None
    max_rate: float | None = None
    can_grow: bool = True

    def within(self, full: FullSystem) -> tuple[float, float]:
        """The lowest and the highest rate.

        Raises:
            ConfigError: they make no sense.
        """
        lowest = LOWEST * full.guess_per_s if self.min_rate is None else checked_rate("min_rate", self.min_rate)
        usual = max(HIGHEST * full.guess_per_s, lowest)
        highest = usual if self.max_rate is None else checked_rate("max_rate", self.max_rate)
        if self.min_rate is None:
            lowest = min(lowest, highest)
        if lowest > highest:
            raise ConfigError(f"min_rate: must be at most max_rate, {highest:g}, got {lowest:g}")
        return lowest, highest

    def searched(self, full: FullSystem, evaluator: Evaluator) -> tuple[float, float]:
        """The same, but no higher than what a full system certainly answers, by the tolerance below."""
        lowest, highest = self.within(full)
        if full.full is None or not evaluator.admits_all:
            return lowest, highest
        return lowest, min(highest, max(full.full.low / (1 + self.tolerance), lowest))


@dataclass(frozen=True)
class Sized:
    """The limit of a deployment.

    Attributes:
        full: what it answers when full.
        verdict: as of `FoundRate`; ``found`` also if the limit is what a full system answers.
        meets: the highest rate that was seen to meet.
        binding: what stands in the way of more; None: nothing was seen to.
        low: lower end of the 95 % interval of the limit; None unless there is one.
        high: its upper end, likewise.
        is_sampled: whether the interval allows for the luck of the draw.
        points: all that were tried.
    """

    full: FullSystem
    verdict: Verdict
    meets: Point | None
    binding: str | None
    low: float | None
    high: float | None
    is_sampled: bool
    points: tuple[Point, ...]

    @property
    def rate(self) -> float | None:
        """Of ``meets``."""
        return None if self.meets is None else self.meets.rate


def sized(evaluator: Evaluator, effort: Effort, bounds: Bounds, start: float | None = None) -> Sized:
    """Find the highest rate that meets the SLOs and is no more than a full system answers.

    If that is what binds, it is measured with more requests until it is known to half the tolerance.

    Args:
        evaluator: of the deployment.
        effort: at first.
        bounds: where, and how well.
        start: a rate to begin with; None: that of a full system.
    """
    filling = effort
    can_grow = bounds.can_grow and evaluator.load.can_grow
    while True:
        full = evaluator.fill(filling)
        lowest, highest = bounds.searched(full, evaluator)
        at_saturation = highest < bounds.within(full)[1]
        limits = Limits(bounds.tolerance, lowest, highest, effort, can_grow=can_grow, at_saturation=at_saturation)
        found = find_rate(evaluator.evaluate, full.guess_per_s if start is None else start, limits)
        if found.verdict != "no limit" or not limits.at_saturation:
            return _of_figures(full, found)
        assert full.full is not None
        is_known = full.full.high - full.full.low <= bounds.tolerance * full.full.mean
        if is_known or not can_grow or filling.num_requests >= effort.num_requests * MOST_GROWTH:
            return _of_saturation(full, found, evaluator)
        filling = Effort(filling.num_requests * GROWTH, filling.replications)


def fewest(
    evaluator: Evaluator,
    full: FullSystem,
    rate: float,
    effort: Effort,
    counts: range,
    *,
    can_grow: bool = True,
) -> FoundInstances:
    """Find the fewest instances that meet the SLOs at a rate, and that answer as much when full.

    Args:
        evaluator: of one instance.
        full: what that answers, as found last (`Evaluator.fill`).
        rate: arrivals per second.
        effort: at first.
        counts: numbers of instances that are allowed.
        can_grow: whether runs may get more requests while a number is in doubt.
    """
    return find_instances(
        lambda count, asked: evaluator.evaluate(rate, asked, num_instances=count, pilot=True),
        min(max(full.least(rate), counts[0]), counts[-1]),
        counts[-1],
        effort,
        can_grow=can_grow and evaluator.load.can_grow,
    )


def checked_rate(name: str, rate: float) -> float:
    """The rate.

    Raises:
        ConfigError: it is none.
    """
    if not 0 < rate < math.inf:
        raise ConfigError(f"{name}: must be a positive number per second, got {rate}")
    return rate


def _of_figures(full: FullSystem, found: FoundRate) -> Sized:
    """The limit is where a figure reaches its limit, if anywhere."""
    low = high = None
    if found.verdict == "found" and found.meets is not None and found.misses is not None:
        spread = found.half_width or 0.0
        low, high = found.meets.rate * max(1 - spread, 0.0), found.misses.rate * (1 + spread)
        if full.full is not None and found.meets.rate <= full.full.high:
            high = min(high, full.full.high)
    binding = None if found.misses is None else found.misses.binding
    return Sized(full, found.verdict, found.meets, binding, low, high, found.half_width is not None, found.points)


def _of_saturation(full: FullSystem, found: FoundRate, evaluator: Evaluator) -> Sized:
    """All figures keep their limits as far up as a system can be loaded."""
    assert full.full is not None
    assert found.meets is not None
    rate, is_sampled = found.meets.rate, evaluator.load.is_drawn
    return Sized(full, "found", found.meets, "backlog", rate, full.full.high, is_sampled, found.points)
