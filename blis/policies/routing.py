"""Where a request goes: the routing policy that options ask for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from blis.compiled.function import Source, compiled
from blis.config.schema import ClusterOptions
from blis.policies.policy import Floats, Policy, decision
from blis.policies.scorers import SCORERS, left_to_right

_LOAD = frozenset(("queue_depth", "batch_size", "pending_requests"))

#: What each built-in policy reads of the instances; `weighted` reads what its scorers do.
POLICIES: dict[str, frozenset[str]] = {
    "round-robin": frozenset(),
    "least-loaded": _LOAD,
    "weighted": frozenset(),
    "prefix-affinity": _LOAD | {"prefix_blocks"},
    "always-busiest": _LOAD,
}


def routing_policy(options: ClusterOptions) -> Policy:
    """Make the policy of that name, or load the user's own.

    Raises:
        ConfigError: a function that can't be loaded.
    """
    name = options.routing_policy
    if ":" in name:
        from blis.policies.custom import load_policy

        return load_policy(name, "routing")
    if name == "weighted":
        return _weighted(options)
    initial_state = _one_counter if name == "round-robin" else _nothing
    return Policy(name, functools.partial(_compiled, name), POLICIES[name], initial_state)


def _weighted(options: ClusterOptions) -> Policy:
    two_weights = (("kv-utilization", options.routing_cache_weight), ("load-balance", options.routing_load_weight))
    scorers = two_weights if options.routing_scorers is None else options.routing_scorers
    used = [(scorer, weight) for scorer, weight in scorers if weight > 0]
    total = left_to_right(weight for _, weight in used)
    numbers = list(SCORERS)
    state = [weight / total for _, weight in used] + [float(numbers.index(scorer)) for scorer, _ in used]

    def initial_state(num_instances: int) -> Floats:
        return np.array(state)

    reads = frozenset(column for scorer, _ in used for column in SCORERS[scorer])
    return Policy("weighted", functools.partial(_compiled, "weighted"), reads, initial_state, scores=True)


def _nothing(num_instances: int) -> Floats:
    return np.zeros(0)


def _one_counter(num_instances: int) -> Floats:
    return np.zeros(1)


@functools.cache
def _compiled(name: str) -> Any:
    return compiled(source(name))


def source(name: str) -> Source:
    """What a built-in policy is compiled from."""

    def make() -> Callable[..., int]:
        from blis.policies import _routing_kernels

        return _routing_kernels.POLICIES[name]

    return decision(make, f"routing.{name}")
