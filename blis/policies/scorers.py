"""What is good about an instance: the scorers that weighted routing adds up, by name.

`blis.policies._scorer_kernels` holds the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable

_LOAD = ("queue_depth", "batch_size", "pending_requests")

#: What each scorer reads of the instances. Their order numbers them, as the kernels do.
SCORERS: dict[str, tuple[str, ...]] = {
    "queue-depth": ("queue_depth", "pending_requests"),
    "kv-utilization": ("kv_utilization",),
    "load-balance": _LOAD,
    "active-requests": _LOAD,
    "prefix-affinity": ("prefix_blocks",),
    "precise-prefix-cache": ("cached_blocks",),
}


def left_to_right(weights: Iterable[float]) -> float:
    """Add up weights in their order; `sum` rounds differently from one version of Python to the next."""
    total = 0.0
    for weight in weights:
        total += weight
    return total
