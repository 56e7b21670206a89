"""Small requests and clusters for figures worked by hand.

Blocks have 4 tokens, a step takes 1000 µs + 10 per prefill token + 100 per decode.
"""

from __future__ import annotations

from typing import Any

from reference.engine import blackbox
from reference.records import RefClusterConfig, RefClusterResult, RefConfig, RefRequest, RefSnapshot


def cluster(num_instances: int = 1, *, instance: dict[str, Any] | None = None, **changes: Any) -> RefClusterConfig:
    engine: dict[str, Any] = {"total_kv_blocks": 100, "block_size_tokens": 4, "step_time": blackbox(1000, 10, 100)}
    return RefClusterConfig(RefConfig(**engine | (instance or {})), num_instances, **changes)


def request(name: str, arrival_us: int = 0, prompt: int = 8, output: int = 1, like: str = "") -> RefRequest:
    """A request of given lengths; its prompt starts like that of the request named ``like``, else like nobody's."""
    first = 1000 * ord(like or name)
    return RefRequest(name, arrival_us, tuple(range(first, first + prompt)), (7,) * output)


def targets(result: RefClusterResult) -> str:
    """Where requests went, in the order of routing: ``a0 b1``."""
    return " ".join(f"{routing.id}{routing.target}" for routing in result.routings)


def seen_by(name: str, result: RefClusterResult) -> list[RefSnapshot]:
    """What the router saw when it decided on a request."""
    return next(routing.seen for routing in result.routings if routing.id == name)
