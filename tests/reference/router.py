"""The front of a cluster: what policies see of the instances, who is admitted, who goes where."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .block_pool import ContentKeys
from .instance import Instance
from .records import RefAdmission, RefClusterConfig, RefRequest, RefRouting, RefSnapshot


class Signal:
    """Something told of every instance, read anew by a decision that finds it ``refresh_us`` old or older.

    Attributes:
        values: per instance, as last read; ``nothing`` before that.
    """

    def __init__(
        self, instances: Sequence[Instance], read: Callable[[Instance], Any], nothing: Any, refresh_us: int
    ) -> None:
        self.values = [nothing] * len(instances)
        self._instances = instances
        self._read = read
        self._refresh_us = refresh_us
        self._last_read_us = 0

    def refresh(self, now: int) -> None:
        """Read it if it is too old."""
        if now - self._last_read_us >= self._refresh_us:
            self.values = [self._read(instance) for instance in self._instances]
            self._last_read_us = now


@dataclass(frozen=True)
class KvNumbers:
    """What is told of an instance's KV blocks, by the names of `RefSnapshot`."""

    free_blocks: int = 0
    kv_utilization: float = 0.0
    cache_hit_rate: float = 0.0


def kv_numbers(instance: Instance) -> KvNumbers:
    """Read them from an instance."""
    free, usable = len(instance.scheduler.pool.free), instance.usable_blocks
    hit_rate = instance.cached_tokens / instance.known_tokens if instance.known_tokens else 0.0
    return KvNumbers(free, (usable - free) / usable, hit_rate)


class PrefixTable:
    """Which instance every recently routed block of content was last sent to.

    Attributes:
        instance_of: content key -> instance, the one routed longest ago in front.
    """

    def __init__(self, most_entries: int) -> None:
        self.instance_of: OrderedDict[int, int] = OrderedDict()
        self._most_entries = most_entries

    def record(self, keys: Sequence[int], instance: int) -> None:
        """A prompt was sent to an instance. Its later blocks are forgotten before its earlier ones."""
        for key in reversed(keys):
            self.instance_of[key] = instance
            self.instance_of.move_to_end(key)
        while len(self.instance_of) > self._most_entries:
            self.instance_of.popitem(last=False)

    def depth(self, keys: Sequence[int], instance: int) -> int:
        """Blocks of a prompt up to its deepest one that was last sent there; 0: none was."""
        return max((i + 1 for i, key in enumerate(keys) if self.instance_of.get(key) == instance), default=0)

    def deepest(self, keys: Sequence[int]) -> int | None:
        """The instance of the deepest block of a prompt that is known; None: none is."""
        return next((self.instance_of[key] for key in reversed(keys) if key in self.instance_of), None)


class TokenBucket:
    """Admits a request if the bucket holds its prompt's tokens, and takes them out."""

    def __init__(self, capacity: float, refill_rate: float) -> None:
        self._capacity = capacity
        self._refill_rate = refill_rate  # tokens per second
        self._level = capacity
        self._last_us = 0

    def admits(self, request: RefRequest, now: int) -> bool:
        elapsed_us = now - self._last_us
        if elapsed_us > 0:
            self._level = min(self._capacity, self._level + elapsed_us * self._refill_rate / 1e6)
            self._last_us = now
        cost = len(request.prompt)
        if self._level < cost:
            return False
        self._level -= cost
        return True


def load(snapshot: RefSnapshot) -> int:
    """Requests that an instance has to deal with."""
    return snapshot.queue_depth + snapshot.batch_size + snapshot.pending


def least_loaded(seen: Sequence[RefSnapshot]) -> int:
    """The first of the instances with the least load."""
    return min(range(len(seen)), key=lambda i: load(seen[i]))


def always_busiest(seen: Sequence[RefSnapshot]) -> int:
    """The first of the instances with the most load."""
    return max(range(len(seen)), key=lambda i: load(seen[i]))


def score_queue_depth(seen: Sequence[RefSnapshot], _: int) -> list[float]:
    depths = [snapshot.queue_depth + snapshot.pending for snapshot in seen]
    if max(depths) == min(depths):
        return [1.0] * len(seen)
    return [(max(depths) - depth) / (max(depths) - min(depths)) for depth in depths]


def score_kv_utilization(seen: Sequence[RefSnapshot], _: int) -> list[float]:
    return [1 - snapshot.kv_utilization for snapshot in seen]


def score_load_balance(seen: Sequence[RefSnapshot], _: int) -> list[float]:
    return [1 / (1 + load(snapshot)) for snapshot in seen]


def score_active_requests(seen: Sequence[RefSnapshot], _: int) -> list[float]:
    loads = [load(snapshot) for snapshot in seen]
    if max(loads) == 0:
        return [1.0] * len(seen)
    return [(max(loads) - one) / max(loads) for one in loads]


def score_prefix_affinity(seen: Sequence[RefSnapshot], prompt_blocks: int) -> list[float]:
    return [snapshot.prefix_blocks / prompt_blocks if prompt_blocks else 0.0 for snapshot in seen]


def score_precise_prefix_cache(seen: Sequence[RefSnapshot], prompt_blocks: int) -> list[float]:
    return [snapshot.cached_blocks / prompt_blocks if prompt_blocks else 0.0 for snapshot in seen]


#: Name -> scores of all instances, from their snapshots and the number of full blocks of the prompt.
SCORERS = {
    "queue-depth": score_queue_depth,
    "kv-utilization": score_kv_utilization,
    "load-balance": score_load_balance,
    "active-requests": score_active_requests,
    "prefix-affinity": score_prefix_affinity,
    "precise-prefix-cache": score_precise_prefix_cache,
}


def weighted_scores(
    seen: Sequence[RefSnapshot], prompt_blocks: int, scorers: Sequence[tuple[str, float]]
) -> list[float]:
    """Sums over the scorers in their order; the weights are shares of their sum, taken in the same order."""
    total = 0.0
    for _, weight in scorers:
        total += weight
    scores = [0.0] * len(seen)
    for name, weight in scorers:
        for i, score in enumerate(SCORERS[name](seen, prompt_blocks)):
            scores[i] += (weight / total) * score
    return scores


class Router:
    """Decides on admission and on instances.

    Attributes:
        pending: per instance, requests routed there which its scheduler does not see yet. The router counts
            them up; whoever makes them visible counts them down.
    """

    def __init__(self, config: RefClusterConfig, instances: Sequence[Instance], content_keys: ContentKeys) -> None:
        self.config = config
        self.pending = [0] * len(instances)
        self._content_keys = content_keys
        self._table = PrefixTable(config.prefix_table_entries)
        self._bucket = TokenBucket(config.token_bucket_capacity, config.token_bucket_refill_rate)
        self._num_routed = 0
        kv_refresh_us = config.kv_refresh_us
        self._queues = Signal(instances, lambda i: i.queue_depth, 0, config.queue_depth_refresh_us)
        self._batches = Signal(instances, lambda i: len(i.scheduler.running), 0, config.batch_size_refresh_us)
        self._kv = Signal(instances, kv_numbers, KvNumbers(), kv_refresh_us)
        self._caches = Signal(instances, lambda i: frozenset(i.scheduler.pool.copies), frozenset(), kv_refresh_us)
        policy = config.routing_policy
        scorers = {name for name, weight in config.routing_scorers if weight > 0} if policy == "weighted" else set()
        self._asks_table = policy == "prefix-affinity" or "prefix-affinity" in scorers
        self._asks_caches = "precise-prefix-cache" in scorers

    def admit(self, request: RefRequest, now: int) -> RefAdmission:
        """Ask the admission policy, which looks at no blocks of the prompt."""
        seen = self._look(now, keys=[])
        admits = {
            "always-admit": lambda *_: True,
            "token-bucket": self._bucket.admits,
            "reject-all": lambda *_: False,
        }
        return RefAdmission(request.id, now, admits[self.config.admission_policy](request, now), seen)

    def route(self, request: RefRequest, now: int) -> RefRouting:
        """Ask the routing policy and remember where the request goes."""
        keys = self._content_keys.full_blocks(request.prompt, self.config.instance.block_size_tokens)
        seen = self._look(now, keys)
        choice, scores = self._choose(keys, seen)
        target = self.config.forced.get(request.id, choice)
        self.pending[target] += 1
        if self._asks_table:
            self._table.record(keys, target)
        return RefRouting(request.id, now, target, scores, seen)

    def _choose(self, keys: Sequence[int], seen: Sequence[RefSnapshot]) -> tuple[int, list[float] | None]:
        """The routing policy: an instance, and the scores of all if it scores. Ties go to the first."""
        match self.config.routing_policy:
            case "round-robin":
                self._num_routed += 1
                return (self._num_routed - 1) % len(seen), None
            case "least-loaded":
                return least_loaded(seen), None
            case "always-busiest":
                return always_busiest(seen), None
            case "prefix-affinity":
                known = self._table.deepest(keys)
                return (least_loaded(seen) if known is None else known), None
            case "weighted":
                scores = weighted_scores(seen, len(keys), self.config.routing_scorers)
                return scores.index(max(scores)), scores
        raise ValueError(f"no routing policy {self.config.routing_policy!r}")

    def _look(self, now: int, keys: Sequence[int]) -> list[RefSnapshot]:
        """What a decision sees of all instances, with regard to the blocks of a prompt."""
        for signal in (self._queues, self._batches, self._kv):
            signal.refresh(now)
        if self._asks_caches:
            self._caches.refresh(now)
        return [
            RefSnapshot(
                queue_depth=self._queues.values[i],
                batch_size=self._batches.values[i],
                pending=self.pending[i],
                free_blocks=self._kv.values[i].free_blocks,
                kv_utilization=self._kv.values[i].kv_utilization,
                cache_hit_rate=self._kv.values[i].cache_hit_rate,
                prefix_blocks=self._table.depth(keys, i) if self._asks_table else 0,
                cached_blocks=_leading(keys, self._caches.values[i]) if self._asks_caches else 0,
            )
            for i in range(len(self.pending))
        ]


def _leading(keys: Sequence[int], cached: frozenset[int]) -> int:
    """How many of the keys, from the first on, are in a cache without a gap."""
    return next((i for i, key in enumerate(keys) if key not in cached), len(keys))
