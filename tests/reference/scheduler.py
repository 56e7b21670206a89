"""Who gets how many tokens in one step: vLLM's V1 scheduler, from its rules.

Plans may be made before the results of earlier ones are known: a plan *owes* an output token to each request that it
makes sample, until its result is settled. Where every plan is settled before the next is made nobody is owed anything.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from .block_pool import BlockPool, ContentKeys
from .records import RefConfig, RefOutcome, RefRequest


def ceil_div(a: int, b: int) -> int:
    """``a / b``, rounded up."""
    return -(-a // b)


@dataclass(eq=False)
class RequestState:
    """One request inside the instance.

    Attributes:
        request: what was asked for.
        output_limit: output tokens it will get, after the cut by ``max_model_len``.
        outcome: what is reported about it.
        known: prompt tokens followed by the output tokens sampled so far; never shrinks.
        computed: tokens planned so far, those in flight included; without the latter, how many have KV.
        flight: tokens in plans whose result is not known.
        owed: output tokens expected of those plans.
        blocks: the blocks it holds.
        published: how many of those, from the first on, it has given a content key.
        keys: content keys of its leading full blocks, as far as anybody asked.
        last_token_us: when it got its last output token.
        sequence: its place among those that arrived at the same time, as far as it is not that of the ids.
    """

    request: RefRequest
    output_limit: int
    outcome: RefOutcome
    known: list[int]
    computed: int = 0
    flight: int = 0
    owed: int = 0
    blocks: list[int] = field(default_factory=list)
    published: int = 0
    keys: list[int] = field(default_factory=list)
    last_token_us: int = 0
    sequence: int = 0


@dataclass
class Plan:
    """What one step does.

    Attributes:
        budget: tokens that may still be given out.
        tokens: request -> its tokens, in scheduling order.
        new: first admissions -> tokens found in the cache.
        resumed: admissions after a preemption -> tokens found in the cache.
        preempted: victims in order.
    """

    budget: int
    tokens: dict[RequestState, int] = field(default_factory=dict)
    new: dict[RequestState, int] = field(default_factory=dict)
    resumed: dict[RequestState, int] = field(default_factory=dict)
    preempted: list[RequestState] = field(default_factory=list)


def urgency(state: RequestState) -> tuple[int, int, int, str]:
    """Order of the waiting queue under the priority policy, most urgent first."""
    request = state.request
    return request.priority, request.arrival_us, state.sequence, request.id


class Scheduler:
    """The queues and blocks of one instance.

    ``content_keys`` names the content of blocks; instances whose caches are compared share one.

    Attributes:
        running: admitted requests in admission order.
        waiting: visible requests that are not admitted; the head is the next one to be.
        pool: the KV blocks.
    """

    def __init__(self, config: RefConfig, content_keys: ContentKeys) -> None:
        self.config = config
        self.running: list[RequestState] = []
        self.waiting: list[RequestState] = []
        self.pool = BlockPool(config.total_kv_blocks, keyless_first=config.free_keyless_blocks_first)
        self._content_keys = content_keys
        self._by_priority = config.scheduling_policy == "priority"
        self._orders_queue = config.scheduler != "fcfs"

    def add(self, state: RequestState) -> None:
        """Put a request that became visible into the waiting queue."""
        if self._by_priority:
            insort(self.waiting, state, key=urgency)
        else:
            self.waiting.append(state)

    def schedule(self, now: int) -> Plan:
        """Decide one step and take its blocks. Moving ``computed`` on is left to the caller."""
        if self._orders_queue:
            self.waiting.sort(key=lambda state: self._place(state, now))
        plan = Plan(budget=self.config.max_num_scheduled_tokens)
        self._running_pass(plan)
        if not plan.preempted:
            self._waiting_pass(plan)
        return plan

    def _place(self, state: RequestState, now: int) -> tuple[float, int, int, str]:
        """Sort key of a waiting request at this moment, for schedulers other than fcfs."""
        request = state.request
        age = now - request.arrival_us
        priority = {"constant": 0, "slo-based": age, "inverted-slo": -age}[self.config.priority_policy]
        first = {"sjf": len(request.prompt), "priority-fcfs": -priority, "reverse-priority": priority}
        return first[self.config.scheduler], request.arrival_us, state.sequence, request.id

    def finish(self, state: RequestState) -> None:
        """A request is done: it leaves with all its blocks, or the queue, if it was preempted before its end."""
        if state in self.waiting:
            self.waiting.remove(state)
            return
        self.running.remove(state)
        self.pool.release(state.blocks)

    def _running_pass(self, plan: Plan) -> None:
        """Serve running requests from the front; who can't get a block preempts until it can or is gone itself.

        Under fcfs the victim stands behind everybody served so far. Under priority it may have been served:
        its tokens return to the budget. If it stood in front but had nothing to do, its last token being in flight,
        vLLM loses count and passes over one behind.
        """
        position = 0
        while position < len(self.running) and plan.budget > 0:
            state = self.running[position]
            tokens = self._chunk(self._wanted(state), plan.budget)
            if tokens == 0:  # its last token is in flight
                position += 1
                continue
            while not self._fits(state, tokens):
                victim = self._victim()
                if victim in plan.tokens:
                    plan.budget += plan.tokens.pop(victim)
                    position -= 1
                self._preempt(victim, plan)
                if victim is state:
                    break
            else:
                self._allocate(state, tokens)
                plan.tokens[state] = tokens
                plan.budget -= tokens
                position += 1

    def _waiting_pass(self, plan: Plan) -> None:
        """Admit from the head of the queue; the first that doesn't fit blocks all behind it."""
        while self.waiting and plan.budget > 0 and len(self.running) < self.config.max_num_running_reqs:
            state = self.waiting[0]
            hits = self._prefix_hits(state)
            cached = len(hits) * self.config.block_size_tokens
            tokens = self._chunk(len(state.known) - cached, plan.budget)
            if not self._may_enter(state, tokens, hits):
                return
            self._allocate(state, tokens, hits)
            self.running.append(self.waiting.pop(0))
            state.computed = cached
            plan.tokens[state] = tokens
            plan.budget -= tokens
            (plan.resumed if state.outcome.n_preemptions else plan.new)[state] = cached

    def _wanted(self, state: RequestState) -> int:
        """Tokens that a running request still has to compute, as far as its end can be foreseen."""
        longest = state.request.max_tokens
        if longest is None or state.output_limit == 0:
            longest = state.output_limit
        if state.owed > 0 and state.computed + 2 - state.owed >= len(state.request.prompt) + longest:
            return 0
        wanted = len(state.known) + state.owed - state.computed
        if state.owed > 0 and self.config.max_model_len is not None:
            return max(0, min(wanted, self.config.max_model_len - 1 - state.computed))
        return wanted

    def _chunk(self, wanted_tokens: int, budget: int) -> int:
        """Cut what a request wants to the long-prefill threshold and the budget."""
        threshold = self.config.long_prefill_token_threshold
        if self.config.threshold_spares_lone_request and len(self.running) + len(self.waiting) == 1:
            threshold = 0
        if threshold > 0:
            wanted_tokens = min(wanted_tokens, threshold)
        return min(wanted_tokens, budget)

    def _victim(self) -> RequestState:
        """Who loses its blocks: the last admitted, or the least urgent and latest (the first of equals)."""
        if self._by_priority:
            return max(self.running, key=lambda state: (state.request.priority, state.request.arrival_us))
        return self.running[-1]

    def _preempt(self, victim: RequestState, plan: Plan) -> None:
        """Send a running request back to the queue without its blocks, but with its tokens."""
        self.running.remove(victim)
        self.pool.release(victim.blocks)
        victim.blocks = []
        victim.published = 0
        victim.computed = 0
        victim.owed = 0  # what is in flight will come, but isn't waited for
        victim.outcome.n_preemptions += 1
        plan.preempted.append(victim)
        if self._by_priority:
            insort(self.waiting, victim, key=urgency)
        else:
            self.waiting.insert(0, victim)

    def _prefix_hits(self, state: RequestState) -> list[int]:
        """Blocks of the cache that hold the head of this request; at least one token is left to compute."""
        if not self.config.enable_prefix_caching:
            return []
        return self.pool.lookup(self._keys(state, (len(state.known) - 1) // self.config.block_size_tokens))

    def _keys(self, state: RequestState, num_blocks: int) -> list[int]:
        """Content keys of the first ``num_blocks`` blocks of a request."""
        size = self.config.block_size_tokens
        for i in range(len(state.keys), num_blocks):
            previous = state.keys[-1] if state.keys else 0
            state.keys.append(self._content_keys.chain(previous, tuple(state.known[i * size : (i + 1) * size])))
        return state.keys[:num_blocks]

    def _may_enter(self, state: RequestState, tokens: int, hits: Sequence[int]) -> bool:
        """Whether the head of the queue may be admitted with a first chunk of ``tokens``.

        With the admission gate all its known tokens must fit, not just the chunk. The watermark (``trunc(fraction
        * num_gpu_blocks)`` blocks, reserved block included) comes on top, and only while something is running,
        requests admitted earlier in this pass included. The cases ``newest_*`` tell truncation from rounding
        up or half up, and one sum from two separate comparisons; in neither of them does it matter whether the
        reserved block counts or whether something is running.
        """
        if self.config.reserve_full_prompt:
            tokens = len(state.known) - len(hits) * self.config.block_size_tokens
        spare_blocks = int(self.config.kv_watermark * self.config.total_kv_blocks) if self.running else 0
        return self._fits(state, tokens, hits, spare_blocks)

    def _fits(self, state: RequestState, tokens: int, hits: Sequence[int] = (), spare_blocks: int = 0) -> bool:
        """Whether the free list, without the idle ones among the hits, holds what the next tokens need."""
        free_blocks = len(self.pool.free) - self.pool.count_idle(hits)
        return self._needed_blocks(state, tokens, hits) + spare_blocks <= free_blocks

    def _needed_blocks(self, state: RequestState, tokens: int, hits: Sequence[int]) -> int:
        """Blocks to take for the next tokens; 0 or less if those it holds suffice."""
        own_blocks = len(state.blocks) + len(hits)
        return ceil_div(self._reach(state, tokens, hits), self.config.block_size_tokens) - own_blocks

    def _reach(self, state: RequestState, tokens: int, hits: Sequence[int]) -> int:
        """Tokens that will have KV after the next ones."""
        return state.computed + len(hits) * self.config.block_size_tokens + tokens

    def _allocate(self, state: RequestState, tokens: int, hits: Sequence[int] = ()) -> None:
        """Hold the hits, take blocks for the next tokens and publish those that become full with them."""
        need = self._needed_blocks(state, tokens, hits)
        reach = self._reach(state, tokens, hits)
        self.pool.reference(hits)
        state.blocks.extend(hits)
        state.published += len(hits)
        if need > 0:
            state.blocks.extend(self.pool.take(need + self._extra_blocks(state, need)))
        if self.config.enable_prefix_caching:
            self.publish(state, min(reach, len(state.known)))

    def _extra_blocks(self, state: RequestState, need: int) -> int:
        """Blocks taken beyond need (vLLM up to 0.8.4), as far as they are free and the request may hold them."""
        config = self.config
        extra = min(ceil_div(config.preallocated_tokens, config.block_size_tokens), len(self.pool.free) - need)
        if config.max_model_len is None:
            return extra
        most = ceil_div(config.max_model_len, config.block_size_tokens)
        return min(extra, most - len(state.blocks) - need)

    def publish(self, state: RequestState, tokens: int) -> None:
        """Give keys to blocks that are full with so many tokens, even before their KV is really there."""
        full_blocks = tokens // self.config.block_size_tokens
        keys = self._keys(state, full_blocks)
        for i in range(state.published, full_blocks):
            self.pool.publish(state.blocks[i], keys[i])
        state.published = max(state.published, full_blocks)
