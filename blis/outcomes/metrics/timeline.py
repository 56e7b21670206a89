"""What each instance did over time, from the requests' stamps alone.

All figures are means or sums over equally long parts of the run. Those of the queue and the batch follow exactly
from the stamps. Stamps do not say when each token came or when a preempted request was out of the batch, so tokens are
spread evenly between a request's first and last one, preempted requests count as running, and use of the KV
cache is an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER, RequestStatus
from blis.outcomes.metrics.groups import rows_by_code
from blis.outcomes.metrics.latency import known
from blis.outcomes.outcomes import SERVED, Outcomes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Requests whose stamps are looked at together: few enough to stay in a processor's cache.
_ROWS_AT_ONCE = 1 << 15
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
    num_instances = len(outcomes.result.instances)
    grid = Grid(max(outcomes.result.end_us, 1), bins, num_instances)
    sums = np.zeros((4, num_instances, bins))
    at_once = max(_ROWS_AT_ONCE, num_instances * bins)
    for start in range(0, len(outcomes), at_once):
        for total, found in zip(sums, _levels(outcomes, grid, slice(start, start + at_once)), strict=True):
            total += found
    waiting, running, tokens, held_tokens = sums
    room = _room_tokens(outcomes)
    return Timeline(
        grid.edges_us, waiting, running, tokens / (grid.width_us / 1e6), held_tokens / room if room > 0 else None
    )


def _levels(outcomes: Outcomes, grid: Grid, some: slice) -> Iterator[Floats]:
    """What some requests add: to the queue, the batch, the output tokens, and the tokens in the cache (`Timeline`)."""
    result = outcomes.result
    served = np.isin(result.status[some], SERVED) & (result.enqueued_us[some] != NEVER) & (result.instance[some] >= 0)
    rows = np.flatnonzero(served) + some.start
    instance, produced, prompt = result.instance[rows], result.produced_tokens[rows], outcomes.table.input_tokens[rows]
    end_us = _or(result.finished_us[rows], result.end_us)
    scheduled_us = _or(result.first_scheduled_us[rows], end_us)
    first_us = _or(result.first_token_us[rows], end_us)
    has_first = produced > 0
    yield grid.mean(instance, result.enqueued_us[rows], scheduled_us, 1, 1)
    yield grid.mean(instance, scheduled_us, end_us, 1, 1)
    later = grid.spread(instance, first_us, end_us, np.maximum(produced - 1, 0))
    yield later + grid.count(instance[has_first], first_us[has_first])
    prefill = grid.mean(instance, scheduled_us, first_us, result.cached_tokens[rows], prompt)
    yield prefill + grid.mean(instance, first_us, end_us, prompt, prompt + produced)


def _room_tokens(outcomes: Outcomes) -> int:
    """Tokens that an instance's cache has room for; 0: not known."""
    return max(outcomes.result.usable_blocks, 0) * (_block_tokens(outcomes.metadata) or 0)


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
        return self._part(stamp_us / self.width_us)

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
        begins, ends = self._part(start), self._part(end)

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

    def _part(self, parts: Floats) -> Ints:
        """(n,) the part in which each moment lies, both in parts."""
        return np.minimum(parts.astype(np.int64), self.bins - 1)

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
    rows = np.flatnonzero(outcomes.result.status == RequestStatus.COMPLETED)
    grid, groups = _by_arrival(outcomes, rows, _REQUESTS_PER_PART)
    requests = np.array([len(group) for group in groups])
    means = zip(*(_parts_ms(outcomes, group) for group in groups), strict=True)
    return Breakdown(grid.edges_us, requests, *(np.array(mean) for mean in means))


def _by_arrival(outcomes: Outcomes, rows: Ints, each: int) -> tuple[Grid, list[Ints]]:
    """The time in which these requests arrived, cut so that parts have so many, on average, and the rows of each."""
    arrival_us = outcomes.result.arrival_us[rows]
    parts = int(np.clip(len(rows) // each, _LEAST_PARTS, _MOST_PARTS))
    grid = Grid(max(int(arrival_us.max(initial=0)), 1), parts)
    return grid, [rows[places] for places in rows_by_code(grid.place(arrival_us), parts)]


def _parts_ms(outcomes: Outcomes, rows: Ints) -> tuple[float, float, float]:
    """Mean queueing, prefill and decode of some requests; nan without any."""
    if not len(rows):
        return np.nan, np.nan, np.nan
    durations_us = (outcomes.scheduling_delay_us, outcomes.ttft_us, outcomes.e2e_us)
    queueing, ttft, e2e = (int(duration_us(rows).sum()) for duration_us in durations_us)
    return queueing / len(rows) / 1000, (ttft - queueing) / len(rows) / 1000, (e2e - ttft) / len(rows) / 1000


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
    grid, groups = _by_arrival(outcomes, rows, _REQUESTS_PER_PERCENTILE)
    return Load(
        grid.edges_us,
        np.array([len(group) for group in groups]) / (grid.width_us / 1e6),
        np.array([_p95_ms(known(outcomes.ttft_us(group))) for group in groups]),
        np.array([_p95_ms(known(outcomes.itl_mean_us(group))) for group in groups]),
    )


def _p95_ms(values_us: Ints | Floats) -> float:
    """95th percentile; nan without values."""
    return float(np.percentile(values_us.astype(np.float64), 95)) / 1000 if len(values_us) else np.nan


def _or(stamp_us: Ints, otherwise: Ints | int) -> Ints:
    return np.where(stamp_us == NEVER, otherwise, stamp_us)
