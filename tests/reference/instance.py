"""One instance: refusals, steps from their plan to their end, what they are recorded as.

One step: schedule, let the model run for dt, sample one token for every scheduled request whose KV caught up
with what is known of it. Scheduling takes effect when the step is planned, everything else when its result is settled.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .block_pool import ContentKeys
from .records import BatchAggregates, RefConfig, RefRequest, RefStep
from .scheduler import Plan, RequestState, Scheduler, ceil_div

#: Preemptions without progress in between from which on a run counts as a livelock.
MOST_FUTILE = 100_000


class StallError(RuntimeError):
    """Nothing can be scheduled and nothing will become visible, or requests preempt each other for ever."""


def output_limit(request: RefRequest, config: RefConfig) -> int:
    """Output tokens it gets: generation stops when input + output reaches ``max_model_len``."""
    if config.max_model_len is None:
        return len(request.output)
    return min(len(request.output), max(1, config.max_model_len - len(request.prompt)))


def refusal(request: RefRequest, config: RefConfig) -> str | None:
    """Why a request is turned away when it arrives; None: it is not."""
    if config.max_model_len is not None:
        longest = config.max_model_len - config.refuse_prompt_of_max_model_len
        if len(request.prompt) > longest:
            return "refused_too_long"
    # The last token sampled never gets KV.
    slots = len(request.prompt) + max(output_limit(request, config), 1) - 1
    if ceil_div(slots, config.block_size_tokens) > config.total_kv_blocks - 1:
        return "refused_never_fits"
    return None


def queueing_us(request: RefRequest, config: RefConfig) -> int:
    """How long after it reached the instance a request becomes visible to the scheduler."""
    alpha0, alpha1, _ = config.alpha
    return int(alpha0 + alpha1 * len(request.prompt))


@dataclass(frozen=True)
class _Flight:
    """A plan whose result is not known, with what is to be recorded of its beginning.

    Attributes:
        plan: who gets how many tokens; if nobody does, it never reaches the GPU.
        samples: who gets an output token.
        plan_us: when it was made.
        start_us: when the GPU begins.
        end_us: when it is done.
        batch: what the law of step time was told.
        free: free blocks after planning.
        left_waiting: waiting requests likewise.
    """

    plan: Plan
    samples: list[RequestState]
    plan_us: int
    start_us: int
    end_us: int
    batch: BatchAggregates
    free: int
    left_waiting: int


class Instance:
    """One scheduler, its plans in flight, and the steps so far.

    Rounds follow each other: take in who became visible, plan if there is work, and once as many plans are in flight
    as may be, settle the oldest. So something happens at ``next_us`` only.

    Attributes:
        scheduler: queues and blocks.
        steps: every step that is over, or that the horizon cut.
        next_us: when it plans or settles next; None: there is nothing to do.
        cached_tokens: tokens found in the prefix cache, over all admissions into the batch so far.
        known_tokens: prompt and output tokens of the admitted, likewise.
    """

    def __init__(self, config: RefConfig, content_keys: ContentKeys) -> None:
        self.config = config
        self.scheduler = Scheduler(config, content_keys)
        self.steps: list[RefStep] = []
        self.next_us: int | None = None
        self.cached_tokens = 0
        self.known_tokens = 0
        self._most_in_flight = 2 if config.async_scheduling else 1
        self._inbox: list[RequestState] = []
        self._flights: deque[_Flight] = deque()
        self._now = 0  # of the CPU that plans
        self._gpu_free_us = 0
        self._settles_next = False
        self._has_planned = False  # tokens, in this round
        self._notice = False  # requests are over of which no plan has told the workers
        self._futile = 0  # preemptions since somebody's prompt or token was last done

    @property
    def usable_blocks(self) -> int:
        """KV blocks there are for requests."""
        return self.config.total_kv_blocks - 1

    @property
    def min_free_blocks(self) -> int:
        """Fewest free blocks seen after scheduling a step."""
        return min((step.free for step in self.steps), default=self.usable_blocks)

    @property
    def queue_depth(self) -> int:
        """Visible requests that are not running."""
        return len(self.scheduler.waiting) + len(self._inbox)

    @property
    def has_work(self) -> bool:
        """Whether requests run or wait."""
        return bool(self.scheduler.running or self.queue_depth)

    def add(self, state: RequestState, now: int) -> None:
        """A request becomes visible."""
        state.outcome.visible_us = now
        self._inbox.append(state)
        if self.next_us is None:
            self.next_us = max(now, self._now)

    def go_on(self) -> list[str]:
        """What happens at ``next_us``; returns whose last token came."""
        self._now = self.next_us
        if self._settles_next:
            return self._settle()
        self._plan()
        return []

    def close(self) -> None:
        """Nothing more will happen: the horizon cuts what is in flight; tell who is still running."""
        for flight in self._flights:
            if flight.plan.tokens or flight.plan.preempted:
                self._record(flight, finished=[], seen=None)
            if flight.start_us > self.config.horizon_us:
                for state in flight.plan.new:
                    state.outcome.first_started_us = None
        for state in self.scheduler.running:
            state.outcome.status = "running"

    def _plan(self) -> None:
        """The first half of a round."""
        for state in self._inbox:
            self.scheduler.add(state)
        self._inbox = []
        self._has_planned = False
        if self._schedulable():
            plan = self.scheduler.schedule(self._now)
            self._futile += len(plan.preempted)
            if self._futile > MOST_FUTILE:
                raise StallError(f"at {self._now} µs requests preempt each other for ever")
            if self._is_stuck(plan):
                self._flights.clear()
                self.next_us = None
                return
            self._notice = False
            self._has_planned = bool(plan.tokens)
            self._launch(plan)
            if len(self._flights) < self._most_in_flight and (plan.tokens or self._schedulable()):
                self._begin_round()
                return
        self._settles_next = bool(self._flights)
        self.next_us = max(self._now, self._flights[0].end_us) if self._flights else None

    def _settle(self) -> list[str]:
        """The second half of a round."""
        flight = self._flights.popleft()
        finished = self._sample(flight)
        if flight.plan.tokens or flight.plan.preempted:
            self._record(flight, finished, self._now)
        self._begin_round()
        return finished

    def _begin_round(self) -> None:
        """The round is over; if it planned nothing although there is work, somebody else is let have the CPU."""
        if not self._has_planned and self._schedulable():
            self._now += self.config.yield_us
        self._settles_next = False
        self.next_us = self._now

    def _schedulable(self) -> bool:
        """Whether a plan would do anything."""
        return bool(self.scheduler.running or self.scheduler.waiting or self._notice)

    def _is_stuck(self, plan: Plan) -> bool:
        """Whether no plan will ever do anything before somebody else becomes visible."""
        in_flight = any(flight.plan.tokens or flight.plan.preempted for flight in self._flights)
        return not (plan.tokens or plan.preempted or in_flight or self._notice)

    def _launch(self, plan: Plan) -> None:
        """The model will begin with what was planned as soon as it can."""
        batch = self._aggregates(plan)
        plan_us = self._now
        self._now += self.config.schedule_us
        start_us = end_us = self._now
        if plan.tokens:
            start_us = max(self._now, self._gpu_free_us)
            end_us = self._gpu_free_us = start_us + max(1, self.config.step_time(batch))
        for state, cached in plan.new.items():
            state.outcome.first_scheduled_us = plan_us
            state.outcome.first_started_us = start_us
            state.outcome.cached_first = cached
        for state, cached in [*plan.new.items(), *plan.resumed.items()]:
            self.cached_tokens += cached
            self.known_tokens += len(state.known)
        samples = []
        for state, tokens in plan.tokens.items():
            state.computed += tokens
            state.flight += tokens
            if state.computed >= len(state.known) + state.owed:
                state.owed += 1
                samples.append(state)
        free, wait = len(self.scheduler.pool.free), len(self.scheduler.waiting)
        self._flights.append(_Flight(plan, samples, plan_us, start_us, end_us, batch, free, wait))

    def _is_decode(self, state: RequestState, tokens: int) -> bool:
        """Whether a request counts as decoding: one token, its last known one, behind the prompt."""
        if tokens != 1 or state.computed + 1 != len(state.known) + state.owed:
            return False
        return state.computed >= len(state.request.prompt) or self.config.last_prompt_token_is_decode

    def _aggregates(self, plan: Plan) -> BatchAggregates:
        decodes = [state for state, tokens in plan.tokens.items() if self._is_decode(state, tokens)]
        prefills = [(s.computed, n) for s, n in plan.tokens.items() if not self._is_decode(s, n)]
        return BatchAggregates(
            prefill_tokens=sum(n for _, n in prefills),
            num_decodes=len(decodes),
            decode_context_tokens=sum(state.computed for state in decodes),
            attention_pairs=sum(n * p + n * (n + 1) // 2 for p, n in prefills),
            prefill_context_tokens=sum(p + n for p, n in prefills),
            num_prefills=len(prefills),
            max_prefill_context_tokens=max((p + n for p, n in prefills), default=0),
        )

    def _sample(self, flight: _Flight) -> list[str]:
        """Hand out the tokens of a step, in running order; returns who is done."""
        finished = []
        for state, tokens in flight.plan.tokens.items():  # scheduled in running order
            if state.outcome.status == "completed":  # by a stop token, which was not foreseen
                continue
            state.flight -= tokens
            is_running = state in self.scheduler.running
            if state in flight.samples:
                self._futile = 0
                state.owed = max(0, state.owed - 1)
                if state.output_limit > 0:
                    self._give_token(state)
            if is_running and self.config.enable_prefix_caching:
                self.scheduler.publish(state, state.computed - state.flight)
            if state in flight.samples and state.outcome.n_out == state.output_limit:
                state.outcome.status = "completed"
                state.outcome.finish_us = self._now
                self.scheduler.finish(state)
                self._notice = True
                finished.append(state.request.id)
        return finished

    def _give_token(self, state: RequestState) -> None:
        outcome = state.outcome
        state.known.append(state.request.output[outcome.n_out])
        outcome.n_out += 1
        if outcome.first_token_us is None:
            outcome.first_token_us = self._now
        else:
            outcome.itls.append(self._now - state.last_token_us)
        state.last_token_us = self._now

    def _record(self, flight: _Flight, finished: list[str], seen: int | None) -> None:
        """Put a step with those that are over."""
        plan = flight.plan
        self.steps.append(
            RefStep(
                t=flight.start_us,
                dt=flight.end_us - flight.start_us,
                sched=[(state.request.id, tokens) for state, tokens in plan.tokens.items()],
                new={state.request.id: cached for state, cached in plan.new.items()},
                resumed={state.request.id: cached for state, cached in plan.resumed.items()},
                preempted=[state.request.id for state in plan.preempted],
                finished=finished,
                pre_tok=flight.batch.prefill_tokens,
                dec=flight.batch.num_decodes,
                free=flight.free,
                free_end=len(self.scheduler.pool.free),
                hashed=len(self.scheduler.pool.key_of),
                run=len(self.scheduler.running),
                wait=len(self.scheduler.waiting),
                plan=flight.plan_us,
                seen=seen,
                left_waiting=flight.left_waiting,
            )
        )
