"""What each instance did over time, from the requests' stamps alone.

All figures are means or sums over equally long parts of the run. Those of the queue and the batch follow exactly
from the stamps. Stamps do not say when each token came or when a preempted request was out of the batch, so tokens are
spread evenly between a request's first and last one, preempted requests count as running, and use of the KV
cache is an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER, RequestStatus
from blis.outcomes.outcomes import SERVED, Outcomes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Parts of a run; fewer would hide bursts, and more than there are pixels tell nothing.
MOST_BINS = 240
#: Parts of the breakdown of latencies have at least so many requests, on average.
_REQUESTS_PER_PART, _LEAST_PARTS, _MOST_PARTS = 20, 12, 96
#: Parts of percentiles have more, so that a few lie above a 95th.
_REQUESTS_PER_PERCENTILE = 60


@dataclass(frozen=True, eq=False)
class Timeline:
    """How m instances did in each of k equally long parts of a run.

    Attributes:
        edges_us: (k + 1,) where the parts begin and end.
        waiting: (m, k) mean number of requests in the queue that no step had scheduled yet.
        running: (m, k) mean number of requests between their first step and their last, preempted ones included.
        tokens_per_s: (m, k) output tokens; a request's first one is where it came, the others are spread evenly behind.
        kv_share: (m, k) estimated share of the KV cache that running requests hold; None if the size of its blocks is
            unknown. A request holds its prompt, cached tokens from its first step and the others linearly until its
            first token, then one more with each token. Prefixes that requests share count for each of them.
    """

    edges_us: Floats
    waiting: Floats
    running: Floats
    tokens_per_s: Floats
    kv_share: Floats | None

    @property
    def middle_s(self) -> Floats:
        """(k,) middles of the parts, in s."""
        middle: Floats = (self.edges_us[1:] + self.edges_us[:-1]) / 2e6
        return middle


def timeline(outcomes: Outcomes, bins: int = MOST_BINS) -> Timeline:
    """Cut a run into so many parts; takes O(n + m * bins) for n requests and m instances."""
    result = outcomes.result
    grid = Grid(max(result.end_us, 1), bins, len(result.instances))
    rows = np.flatnonzero(np.isin(result.status, SERVED) & (result.enqueued_us != NEVER) & (result.instance >= 0))
    instance = result.instance[rows]
    end_us = _or(result.finished_us[rows], result.end_us)
    scheduled_us = _or(result.first_scheduled_us[rows], end_us)
    first_us = _or(result.first_token_us[rows], end_us)
    later = np.maximum(result.produced_tokens[rows] - 1, 0)
    has_first = result.produced_tokens[rows] > 0
    tokens = grid.spread(instance, first_us, end_us, later)
    tokens += grid.count(instance[has_first], first_us[has_first])
    return Timeline(
        grid.edges_us,
        grid.mean(instance, result.enqueued_us[rows], scheduled_us, 1, 1),
        grid.mean(instance, scheduled_us, end_us, 1, 1),
        tokens / (grid.width_us / 1e6),
        _kv_share(outcomes, grid, rows, (scheduled_us, first_us, end_us)),
    )


def _kv_share(outcomes: Outcomes, grid: Grid, rows: Ints, stamps: tuple[Ints, Ints, Ints]) -> Floats | None:
    """Estimated use of the cache (`Timeline`)."""
    block_tokens = _block_tokens(outcomes.metadata)
    if block_tokens is None or outcomes.result.usable_blocks <= 0:
        return None
    result, prompt = outcomes.result, outcomes.table.input_tokens[rows]
    (scheduled_us, first_us, end_us), instance = stamps, result.instance[rows]
    held = grid.mean(instance, scheduled_us, first_us, result.cached_tokens[rows], prompt)
    held += grid.mean(instance, first_us, end_us, prompt, prompt + result.produced_tokens[rows])
    return held / (result.usable_blocks * block_tokens)


def _block_tokens(metadata: Mapping[str, Any]) -> int | None:
    found = metadata.get("engine", {}).get("block_size_tokens")
    return found if isinstance(found, int) else None


@dataclass(frozen=True, eq=False)
class Grid:
    """Equally long parts of the time from 0 to ``end_us``, for each of m instances.

    Attributes:
        end_us: end of the last part, > 0.
        bins: how many parts.
        num_instances: m.
    """

    end_us: int
    bins: int
    num_instances: int = 1

    @property
    def width_us(self) -> float:
        """Length of a part."""
        return self.end_us / self.bins

    @property
    def edges_us(self) -> Floats:
        """(bins + 1,) where the parts begin and end."""
        return np.linspace(0, self.end_us, self.bins + 1)

    def place(self, stamp_us: Ints) -> Ints:
        """(n,) part in which each stamp lies; those of the end and behind it are in the last one."""
        places = (stamp_us / self.width_us).astype(np.int64)
        return np.minimum(places, self.bins - 1)

    def count(self, instance: Ints, stamp_us: Ints, weights: Ints | None = None) -> Floats:
        """(m, bins) how many stamps lie in each part, or the sum of their weights."""
        return self._summed(instance, self.place(stamp_us), weights)

    def spread(self, instance: Ints, start_us: Ints, end_us: Ints, amount: Ints) -> Floats:
        """(m, bins) what each part gets of amounts that are spread evenly from start to end."""
        lasts = end_us > start_us
        at_once = self.count(instance[~lasts], start_us[~lasts], amount[~lasts])
        start, end = start_us[lasts], end_us[lasts]
        rate = amount[lasts] / (end - start)
        return at_once + self.mean(instance[lasts], start, end, rate, rate) * self.width_us

    def mean(
        self, instance: Ints, start_us: Ints, end_us: Ints, first: Ints | Floats | int, last: Ints | Floats | int
    ) -> Floats:
        """(m, bins) mean over time of the sum of levels that go linearly from ``first`` to ``last`` between stamps.

        A span's first and last part are computed for themselves. What lies between are sums of straight lines, which
        are added up as their changes: no part is touched twice, however long the spans are.
        """
        chosen = end_us > start_us
        instance, start, end = instance[chosen], start_us[chosen] / self.width_us, end_us[chosen] / self.width_us
        low, high = (np.broadcast_to(np.asarray(side, np.float64), chosen.shape)[chosen] for side in (first, last))
        slope = (high - low) / (end - start)
        begins, ends = self.place(start_us[chosen]), self.place(end_us[chosen])

        def area(left: Floats, right: Floats) -> Floats:
            found: Floats = (right - left) * (low + slope * ((left + right) / 2 - start))
            return found

        several = ends > begins
        total = self._summed(instance, begins, area(start, np.where(several, begins + 1, end)))
        total += self._summed(instance[several], ends[several], area(ends.astype(np.float64), end)[several])
        # the level in the middle of part p is low + slope * (p + 1/2 - start): a constant and a multiple of p
        inner = ends > begins + 1
        fixed = (low + slope * (0.5 - start))[inner]
        into, out = (instance[inner], begins[inner] + 1), (instance[inner], ends[inner])
        constant = np.cumsum(self._summed(*into, fixed) - self._summed(*out, fixed), axis=1)
        multiple = np.cumsum(self._summed(*into, slope[inner]) - self._summed(*out, slope[inner]), axis=1)
        inside: Floats = total + constant + multiple * np.arange(self.bins)
        return np.maximum(inside, 0.0)  # differences of floats may miss 0 by a hair

    def _summed(self, instance: Ints, places: Ints, weights: Ints | Floats | None) -> Floats:
        flat = instance * self.bins + places
        sums = np.bincount(flat, weights, minlength=self.num_instances * self.bins)
        return sums.reshape(self.num_instances, self.bins).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Breakdown:
    """Where the time of completed requests went, by when they arrived.

    Attributes:
        edges_us: (k + 1,) where the k parts begin and end.
        requests: (k,) completed requests that arrived in each.
        queueing_ms: (k,) mean time from arrival to the first step; nan without requests.
        prefill_ms: (k,) mean time from there to the first token.
        decode_ms: (k,) mean time from there to the last token, with the client's cost per token.
    """

    edges_us: Floats
    requests: Ints
    queueing_ms: Floats
    prefill_ms: Floats
    decode_ms: Floats


def breakdown(outcomes: Outcomes) -> Breakdown:
    """Split the end-to-end times of completed requests; the three parts add up to their means."""
    result = outcomes.result
    rows = np.flatnonzero(result.status == RequestStatus.COMPLETED)
    arrival_us = result.arrival_us[rows]
    parts = int(np.clip(len(rows) // _REQUESTS_PER_PART, _LEAST_PARTS, _MOST_PARTS))
    grid = Grid(max(int(arrival_us.max(initial=0)), 1), parts)
    nobody = np.zeros(len(rows), np.int64)
    requests = grid.count(nobody, arrival_us)[0]
    queueing_us, ttft_us, e2e_us = (
        durations_us(rows) for durations_us in (outcomes.scheduling_delay_us, outcomes.ttft_us, outcomes.e2e_us)
    )
    known = np.where(requests > 0, requests, np.nan)
    means = (
        grid.count(nobody, arrival_us, part_us)[0] / known / 1000
        for part_us in (queueing_us, ttft_us - queueing_us, e2e_us - ttft_us)
    )
    return Breakdown(grid.edges_us, requests.astype(np.int64), *means)


@dataclass(frozen=True, eq=False)
class Load:
    """How many requests arrived, and how they fared, by when they arrived.

    Attributes:
        edges_us: (k + 1,) where the k parts begin and end.
        arrivals_per_s: (k,) requests that arrived per second.
        ttft_p95_ms: (k,) of those that got a first token; nan without any.
        itl_p95_ms: (k,) of the mean gap between the tokens of each that finished; nan without any.
    """

    edges_us: Floats
    arrivals_per_s: Floats
    ttft_p95_ms: Floats
    itl_p95_ms: Floats


def load_over_time(outcomes: Outcomes) -> Load:
    """Cut the time of arrivals into parts of 60 requests on average, 12 to 96 of them; O(n log n) for n requests."""
    status = outcomes.result.status
    rows = np.flatnonzero(~np.isin(status, (RequestStatus.NOT_ARRIVED, RequestStatus.NOT_SENT)))
    arrival_us = outcomes.result.arrival_us[rows]
    parts = int(np.clip(len(rows) // _REQUESTS_PER_PERCENTILE, _LEAST_PARTS, _MOST_PARTS))
    grid = Grid(max(int(arrival_us.max(initial=0)), 1), parts)
    arrivals = grid.count(np.zeros(len(rows), np.int64), arrival_us)[0]
    place = grid.place(arrival_us)
    ttft_us, itl_us = outcomes.ttft_us(rows).astype(np.float64), outcomes.itl_mean_us(rows)
    return Load(
        grid.edges_us,
        arrivals / (grid.width_us / 1e6),
        _p95_ms(np.where(ttft_us >= 0, ttft_us, np.nan), place, parts),
        _p95_ms(itl_us, place, parts),
    )


def _p95_ms(values_us: Floats, place: Ints, parts: int) -> Floats:
    """(parts,) 95th percentiles of the values in each part; nan where all are nan."""
    known = ~np.isnan(values_us)
    by_part = np.argsort(place[known], kind="stable")
    bounds = np.searchsorted(place[known][by_part], np.arange(1, parts))
    groups = np.split(values_us[known][by_part], bounds)
    return np.array([np.percentile(group, 95) / 1000 if len(group) else np.nan for group in groups])


def _or(stamp_us: Ints, otherwise: Ints | int) -> Ints:
    return np.where(stamp_us == NEVER, otherwise, stamp_us)
