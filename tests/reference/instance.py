"""One instance: refusals, steps from their start to their end, what they are recorded as.

One step: schedule, let the model run for dt, sample one token for every scheduled request whose KV caught up
with what is known of it. Scheduling takes effect at the start of the step, everything else at its end.
"""

from __future__ import annotations

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
    """A step between its start and its end, with what is to be recorded of its start."""

    plan: Plan
    start_us: int
    end_us: int
    batch: BatchAggregates
    free: int
    wait: int


class Instance:
    """One scheduler, at most one step in flight, and the steps so far.

    Attributes:
        scheduler: queues and blocks.
        steps: every step that is over, or that the horizon cut.
        cached_tokens: tokens found in the prefix cache, over all admissions into the batch so far.
        known_tokens: prompt and output tokens of the admitted, likewise.
    """

    def __init__(self, config: RefConfig, content_keys: ContentKeys) -> None:
        self.config = config
        self.scheduler = Scheduler(config, content_keys)
        self.steps: list[RefStep] = []
        self.cached_tokens = 0
        self.known_tokens = 0
        self._flight: _Flight | None = None
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
    def is_in_step(self) -> bool:
        """Whether a step is in flight."""
        return self._flight is not None

    @property
    def has_work(self) -> bool:
        """Whether requests run or wait."""
        return bool(self.scheduler.running or self.scheduler.waiting)

    def add(self, state: RequestState, now: int) -> None:
        """A request becomes visible."""
        state.outcome.visible_us = now
        self.scheduler.add(state)

    def start_step(self, now: int) -> int | None:
        """Schedule; returns when the step will end. None: nothing can be scheduled.

        A step that only preempts takes no time and is followed by the next at once.
        """
        while True:
            plan = self.scheduler.schedule(now)
            self._futile += len(plan.preempted)
            if self._futile > MOST_FUTILE:
                raise StallError(f"at {now} µs requests preempt each other for ever")
            if not plan.tokens and not plan.preempted:
                return None
            self._launch(plan, now)
            if plan.tokens:
                return self._flight.end_us
            self._record(finished=[])

    def end_step(self) -> None:
        """The step in flight gives its tokens; who is done leaves with its blocks."""
        self._record(finished=self._sample())

    def cut_step(self) -> None:
        """The horizon comes before the end of the step in flight, if there is one."""
        if self.is_in_step:
            self._record(finished=[])

    def close(self) -> None:
        """Nothing more will happen: tell who is still running."""
        for state in self.scheduler.running:
            state.outcome.status = "running"

    def _launch(self, plan: Plan, now: int) -> None:
        """The model begins with what was planned."""
        batch = self._aggregates(plan)
        duration = max(1, self.config.step_time(batch)) if plan.tokens else 0
        for state, cached in plan.new.items():
            state.outcome.first_scheduled_us = now
            state.outcome.cached_first = cached
        for state, cached in [*plan.new.items(), *plan.resumed.items()]:
            self.cached_tokens += cached
            self.known_tokens += len(state.known)
        for state, tokens in plan.tokens.items():
            state.computed += tokens
        free, wait = len(self.scheduler.pool.free), len(self.scheduler.waiting)
        self._flight = _Flight(plan, now, now + duration, batch, free, wait)

    def _is_decode(self, state: RequestState, tokens: int) -> bool:
        """Whether a request counts as decoding: one token, its last known one, behind the prompt."""
        if tokens != 1 or state.computed + 1 != len(state.known):
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

    def _sample(self) -> list[str]:
        """Hand out the tokens of the step in flight, in running order; returns who is done."""
        finished = []
        for state in self._flight.plan.tokens:  # scheduled in running order
            if state.computed < len(state.known):
                continue
            self._futile = 0
            if state.output_limit > 0:
                self._give_token(state)
            if state.outcome.n_out == state.output_limit:
                state.outcome.status = "completed"
                state.outcome.finish_us = self._flight.end_us
                self.scheduler.finish(state)
                finished.append(state.request.id)
        return finished

    def _give_token(self, state: RequestState) -> None:
        outcome, now = state.outcome, self._flight.end_us
        state.known.append(state.request.output[outcome.n_out])
        outcome.n_out += 1
        if outcome.first_token_us is None:
            outcome.first_token_us = now
        else:
            outcome.itls.append(now - state.last_token_us)
        state.last_token_us = now

    def _record(self, finished: list[str]) -> None:
        """Put the step in flight with the steps that are over."""
        flight, self._flight = self._flight, None
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
                wait=flight.wait,
            )
        )
