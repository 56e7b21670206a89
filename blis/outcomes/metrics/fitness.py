"""One score for a run: a weighted sum of figures brought to [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from blis.errors import ConfigError, nearest

if TYPE_CHECKING:
    from blis.outcomes.outcomes import Outcomes

#: Requests and output tokens per second that make half a point.
_HALF_REQUESTS_PER_SEC = 100.0
_HALF_TOKENS_PER_SEC = 10_000.0
#: Latency in ms that makes half a point.
_HALF_LATENCY_MS = 1.0


def _rising(half: float) -> Callable[[float], float]:
    return lambda value: value / (value + half)


def _falling(half: float) -> Callable[[float], float]:
    return lambda value: 1.0 / (1.0 + value / half)


#: Per key, the figure of the summary that it is about, and how many points that makes.
_COMPONENTS: dict[str, tuple[str, Callable[[float], float]]] = {
    "throughput": ("responses_per_sec", _rising(_HALF_REQUESTS_PER_SEC)),
    "tokens_per_sec": ("tokens_per_sec", _rising(_HALF_TOKENS_PER_SEC)),
    **{
        f"{statistic}_{name}": (f"{name}_{statistic}_ms", _falling(_HALF_LATENCY_MS))
        for statistic in ("mean", "p50", "p95", "p99")
        for name in ("ttft", "e2e")
    },
}

FITNESS_KEYS = tuple(sorted(_COMPONENTS))

#: What a search goes by if it is not told; from the README of the inference-sim project.
DEFAULT_FITNESS_WEIGHTS = {"throughput": 0.5, "p99_ttft": 0.3, "mean_e2e": 0.2}


def parse_fitness_weights(text: str) -> dict[str, float]:
    """Read weights such as ``throughput:0.5,p99_ttft:0.3``.

    Returns:
        Weight per key, sorted by key.

    Raises:
        ConfigError: all are 0, an unknown key, one given twice, or something that is no finite number >= 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        key, colon, number = (piece.strip() for piece in part.partition(":"))
        if not colon:
            raise ConfigError(f"fitness_weights: expected key:weight,key:weight, got {part.strip()!r} in {text!r}")
        if key in weights:
            raise ConfigError(f"fitness_weights: {key} is given twice")
        weights[key] = _weight(key, number)
    return check_fitness_weights(weights)


def check_fitness_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Refuse weights that say nothing.

    Returns:
        Weight per key, sorted by key.

    Raises:
        ConfigError: there are none, all are 0, an unknown key, or something that is no finite number >= 0.
    """
    if not weights:
        raise ConfigError(f"fitness_weights: must have one key at least; valid: {', '.join(FITNESS_KEYS)}")
    checked = {key: _weight(key, weights[key]) for key in sorted(weights)}
    if not any(checked.values()):
        raise ConfigError("fitness_weights: one must be above 0 at least, or every score is 0")
    return checked


def _weight(key: str, number: str | float) -> float:
    if key not in _COMPONENTS:
        raise ConfigError(f"fitness_weights: unknown key {key!r}; {nearest(key, FITNESS_KEYS)}")
    try:
        weight = float(number)
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise ConfigError(f"fitness_weights: {key} must be a finite number >= 0, got {number!r}")
    return weight


def fitness(outcomes: Outcomes, weights: Mapping[str, float]) -> dict[str, Any]:
    """Score a run: the weighted sum of its components, each in [0, 1] and the higher the better.

    A rate v makes ``v / (v + 100)`` (requests per second) or ``v / (v + 10000)`` (output tokens per second), a
    latency of v ms ``1 / (1 + v)``. A component that cannot be computed, such as a latency if nothing was completed,
    is None and adds nothing to the score.

    Args:
        outcomes: of a run or read from a file.
        weights: per key of `FITNESS_KEYS`.

    Returns:
        ``score``, and ``components`` by key in sorted order.
    """
    components = {}
    for key in sorted(weights):
        figure, points = _COMPONENTS[key]
        value = outcomes.summary[figure]
        components[key] = None if value is None else points(value)
    score = sum(weights[key] * points for key, points in components.items() if points is not None)
    return {"score": float(score), "components": components}
