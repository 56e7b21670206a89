"""Service-level objectives: how they are written, and how far a figure is from its limit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from blis.errors import ConfigError, nearest

#: Latencies that may be limited.
METRICS = ("ttft", "itl", "tpot", "e2e", "scheduling_delay")
#: Latencies that each request has one of, so that a limit can be held by each request.
PER_REQUEST = ("ttft", "tpot", "e2e")
STATISTICS = ("p50", "p90", "p95", "p99", "mean")
#: Share of requests that must keep the limits per request, unless another is asked for.
USUAL_GOODPUT = 0.99
#: The name of that share among the figures.
GOODPUT = "goodput"

_UNITS_US = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}
_NAMES = (*(f"{statistic}_{metric}" for metric in METRICS for statistic in STATISTICS), *PER_REQUEST)
_EXAMPLE = "valid would be p99_ttft=200ms"


@dataclass(frozen=True)
class Objective:
    """A limit of a latency.

    Attributes:
        name: ``p99_ttft``, say; or ``ttft``, ``tpot``, ``e2e``: a limit that requests are held to one by one.
        limit_us: what it must not exceed.
    """

    name: str
    limit_us: float

    def __post_init__(self) -> None:
        if self.name not in _NAMES:
            raise ConfigError(f"slos: unknown metric {self.name!r}; {nearest(self.name, _NAMES)}")
        if not 0 < self.limit_us < math.inf:
            raise ConfigError(f"slos: the limit of {self.name} must be a time > 0, got {self.limit_us:g} µs")

    @classmethod
    def of(cls, text: str) -> Objective:
        """Read ``p99_ttft=200ms``; units are us, ms and s.

        Raises:
            ConfigError: it is written in another way, or nothing of that name can be limited.
        """
        name, _, limit = (part.strip() for part in text.partition("="))
        found = re.fullmatch(r"([0-9.eE+-]+)\s*([a-zµ]*)", limit)
        try:
            number = float(found[1]) if found else math.nan
        except ValueError:
            number = math.nan
        if found is None or math.isnan(number):
            raise ConfigError(f"slos: {text!r} is no metric=time; {_EXAMPLE}")
        if found[2] not in _UNITS_US:
            wrong = f"unknown unit {found[2]!r} in" if found[2] else "no unit in"
            raise ConfigError(f"slos: {wrong} {text!r}; valid: us, ms, s")
        return cls(name, number * _UNITS_US[found[2]])

    @property
    def is_per_request(self) -> bool:
        """Whether requests are held to it one by one."""
        return self.name in PER_REQUEST

    @property
    def statistic(self) -> str:
        """One of `STATISTICS`, of a limit of a figure of all requests."""
        return self.name.partition("_")[0]

    @property
    def metric(self) -> str:
        """One of `METRICS`."""
        return self.name if self.is_per_request else self.name.partition("_")[2]


@dataclass(frozen=True)
class Slos:
    """All that must hold. Checked when made.

    Attributes:
        objectives: limits, each name once, one at least.
        goodput: share of requests that must keep all limits per request; None: 0.99 if there are such limits.
    """

    objectives: tuple[Objective, ...]
    goodput: float | None = None

    def __post_init__(self) -> None:
        names = [objective.name for objective in self.objectives]
        if not names:
            raise ConfigError(f"slos: at least one is needed; {_EXAMPLE}")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"slos: {name} is given twice; each takes one limit")
        if self.goodput is None:
            object.__setattr__(self, "goodput", USUAL_GOODPUT if self.per_request else None)
        elif not self.per_request:
            raise ConfigError(f"goodput: needs a limit per request; valid: {', '.join(PER_REQUEST)}, as ttft=200ms")
        elif not 0 < self.goodput <= 1:
            raise ConfigError(f"goodput: must be above 0 and at most 1, got {self.goodput}")

    @classmethod
    def of(cls, slos: Iterable[str | Objective] | str | Objective, goodput: float | None = None) -> Slos:
        """Of texts such as ``p99_ttft=200ms``, or objectives."""
        if isinstance(slos, str | Objective):
            slos = [slos]
        return cls(tuple(Objective.of(slo) if isinstance(slo, str) else slo for slo in slos), goodput)

    @property
    def per_request(self) -> tuple[Objective, ...]:
        """Limits that requests are held to one by one."""
        return tuple(objective for objective in self.objectives if objective.is_per_request)

    @property
    def of_all(self) -> tuple[Objective, ...]:
        """Limits of figures of all requests."""
        return tuple(objective for objective in self.objectives if not objective.is_per_request)

    @property
    def names(self) -> tuple[str, ...]:
        """Figures that are looked at: those of all requests, and ``goodput`` if there are limits per request."""
        return (*(objective.name for objective in self.of_all), *([GOODPUT] if self.per_request else []))

    @property
    def latencies(self) -> tuple[str, ...]:
        """Figures by which to choose among what meets them: those limited; p99 of TTFT and ITL where none of theirs is.

        A limit of TPOT, the mean gap of a request, is one of ITL's, too.
        """
        limited = {objective.metric for objective in self.of_all}
        more = {"p99_ttft": {"ttft"}, "p99_itl": {"itl", "tpot"}}
        return (
            *(objective.name for objective in self.of_all),
            *(name for name, kin in more.items() if not kin & limited),
        )

    def limit(self, name: str) -> float:
        """Limit of a figure: µs, or the least share for ``goodput``."""
        if name == GOODPUT:
            assert self.goodput is not None
            return self.goodput
        return next(objective.limit_us for objective in self.objectives if objective.name == name)

    def strain(self, name: str, value: float) -> float:
        """How much of what is allowed is used up: 1 at the limit, above it missed.

        Of ``goodput`` it is the share of requests that miss their limits, over the share that may.
        """
        if name != GOODPUT:
            return value / self.limit(name)
        missed, allowed = 1 - value, 1 - self.limit(name)
        if allowed > 0:
            return missed / allowed
        return math.inf if missed > 0 else 0.0
