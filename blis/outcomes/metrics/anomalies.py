"""Signs that a policy does harm: older requests overtaken, one instance's queue far too long, rejections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import RequestStatus

if TYPE_CHECKING:
    from blis.outcomes.outcomes import Outcomes

Ints = NDArray[np.int64]


def anomalies(outcomes: Outcomes, *, under_constant_priority: bool = False) -> dict[str, int]:
    """Count the anomalies of a run.

    Args:
        outcomes: of a run or read from a file.
        under_constant_priority: count inversions although no priorities are in use. They then say how
            unlike the requests are, not that anything is wrong.

    Returns:
        ``priority_inversions``, ``hol_blocking_events`` and ``rejected_requests``.
    """
    counted = under_constant_priority or _uses_priorities(outcomes)
    return {
        "priority_inversions": priority_inversions(outcomes) if counted else 0,
        "hol_blocking_events": hol_blocking_events(outcomes),
        "rejected_requests": int(np.count_nonzero(outcomes.result.status == RequestStatus.REJECTED)),
    }


def priority_inversions(outcomes: Outcomes) -> int:
    """Count the pairs of which the earlier request took more than twice as long as the later one, end to end.

    Pairs of completed requests of the same instance and service class, the arrival of one strictly before that of
    the other.
    """
    return sum(count_inversions(outcomes.result.arrival_us[rows], outcomes.e2e_us(rows)) for rows in _groups(outcomes))


def hol_blocking_events(outcomes: Outcomes) -> int:
    """Count the instances whose mean queue is longer than 1 and than twice the mean of the others' means.

    The mean is over an instance's steps; one without steps counts as 0.
    """
    return len(blocked_instances(outcomes))


def overtaken(outcomes: Outcomes) -> NDArray[np.bool_]:
    """(n,) which requests are the earlier one of at least one pair that `priority_inversions` counts."""
    found = np.zeros(len(outcomes), np.bool_)
    for rows in _groups(outcomes):
        e2e_us, arrival_us = outcomes.e2e_us(rows), outcomes.result.arrival_us[rows]
        order = np.argsort(arrival_us, kind="stable")
        least_from = np.append(np.minimum.accumulate(e2e_us[order][::-1])[::-1], np.iinfo(np.int64).max // 2)
        later = np.searchsorted(arrival_us[order], arrival_us, side="right")
        found[rows] = e2e_us > 2 * least_from[later]
    return found


def blocked_instances(outcomes: Outcomes) -> Ints:
    """Which instances `hol_blocking_events` counts."""
    instances = outcomes.result.instances
    if len(instances) < 2:
        return np.zeros(0, np.int64)
    mean = instances.queue_length_sum / np.maximum(instances.num_steps, 1)
    others = [float(np.delete(mean, index).mean()) for index in range(len(mean))]
    return np.flatnonzero(mean > np.maximum(1.0, 2.0 * np.array(others)))


def count_inversions(arrival_us: Ints, e2e_us: Ints) -> int:
    """Count the pairs (i, j) with ``arrival[i] < arrival[j]`` and ``e2e[i] > 2 * e2e[j]``, in O(n log n).

    Each request gives a value ``e2e`` and a bound ``2 * e2e``; all stand in one row in ascending order, and wanted are
    the values behind a bound whose place by arrival is before that of the bound. The row is split by the bits of
    the places, highest first. A pair is counted where its places part: within its block, the value goes to the first
    half and the bound to the second.

    Args:
        arrival_us: (n,) in any order.
        e2e_us: (n,) >= 0.
    """
    levels = max(len(e2e_us) - 1, 0).bit_length()
    row = _values_and_bounds(arrival_us, e2e_us, 1 << levels)
    pairs = 0
    for level in range(levels, 0, -1):
        half, blocks = 1 << (level - 1), 1 << (levels - level)
        is_late = (row >> level) & 1 == 1
        is_bound = row & 1 == 1
        early_values_so_far = np.cumsum(~is_late & ~is_bound)
        # each of `blocks` blocks has `half` early values and `half` late bounds
        pairs += half * half * blocks * (blocks + 1) // 2 - int(early_values_so_far[is_late & is_bound].sum())
        row = np.concatenate((row[~is_late].reshape(blocks, -1), row[is_late].reshape(blocks, -1)), axis=1).ravel()
    return pairs


def _values_and_bounds(arrival_us: Ints, e2e_us: Ints, size: int) -> NDArray[np.int32]:
    """(2 * size,) twice the place by arrival, plus 1 for bounds; ascending, a bound behind the values equal to it."""
    n = len(e2e_us)
    place = np.empty(n, np.int32)
    place[np.lexsort((e2e_us, arrival_us))] = np.arange(n, dtype=np.int32)  # equal arrivals: no later one is shorter
    order = np.argsort(e2e_us, kind="stable")
    ordered = e2e_us[order]
    ahead = np.arange(n)
    row = np.empty(2 * size, np.int32)
    row[ahead + np.searchsorted(2 * ordered, ordered, side="left")] = 2 * place[order]
    row[ahead + np.searchsorted(ordered, 2 * ordered, side="right")] = 2 * place[order] + 1
    row[2 * n :] = np.arange(2 * n, 2 * size)  # fill up with requests that come last and take longest
    return row


def _groups(outcomes: Outcomes) -> Iterator[Ints]:
    """Rows of completed requests, by instance and class."""
    result, slo_class = outcomes.result, outcomes.table.slo_class
    rows = np.flatnonzero(result.status == RequestStatus.COMPLETED)
    group = result.instance[rows]
    if slo_class is not None:
        group = group * (len(slo_class.names) + 1) + slo_class.codes[rows]
    order = np.argsort(group, kind="stable")
    yield from np.split(rows[order], np.flatnonzero(np.diff(group[order])) + 1)


def _uses_priorities(outcomes: Outcomes) -> bool:
    """Whether some priority policy, or vLLM's own, was chosen; not if the outcomes do not say."""
    engine = outcomes.metadata.get("engine", {})
    chosen = engine.get("priority_policy", "constant"), engine.get("scheduling_policy", "fcfs")
    return chosen != ("constant", "fcfs")
