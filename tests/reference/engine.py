"""The clock around the scheduler: arrivals, step times, sampling, refusals, the horizon.

One step: add what is visible, schedule, let the model run for dt, sample one token for every scheduled
request whose KV caught up with what is known of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from .records import BatchAggregates, RefConfig, RefOutcome, RefRequest, RefResult, RefStep
from .scheduler import Plan, RequestState, Scheduler, ceil_div

__all__ = [
    "BatchAggregates",
    "RefConfig",
    "RefOutcome",
    "RefRequest",
    "RefResult",
    "RefStep",
    "StallError",
    "blackbox",
    "simulate",
]


#: Later than anything.
NO_HORIZON_US = 2**63
#: Preemptions without progress in between from which on a run counts as a livelock.
MOST_FUTILE = 100_000


class StallError(RuntimeError):
    """Nothing can be scheduled and nothing will become visible, or requests preempt each other for ever."""


def blackbox(b0: float, b1: float, b2: float) -> Callable[[BatchAggregates], int]:
    """The law ``trunc(b0 + b1 * prefill tokens + b2 * decodes)`` µs, summed left to right in doubles."""

    def step_time(batch: BatchAggregates) -> int:
        return int(b0 + b1 * batch.prefill_tokens + b2 * batch.num_decodes)

    return step_time


def simulate(requests: Sequence[RefRequest], config: RefConfig) -> RefResult:
    """Run one instance until all is done or the horizon comes.

    Requests that become visible at the same microsecond queue up in the order given here.

    What the horizon means: an arrival, a request becoming visible or a step starting later than it does
    not happen. A step that ends later has scheduled (admissions, cache hits and preemptions count), but
    gives no tokens and finishes nobody.

    Raises:
        StallError: nothing can move any more.
    """
    return _Run(requests, config).run()


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


class _Run:
    """State of one run: the clock, the requests still to come, what was recorded so far."""

    def __init__(self, requests: Sequence[RefRequest], config: RefConfig) -> None:
        self.config = config
        self.horizon = NO_HORIZON_US if config.horizon_us is None else config.horizon_us
        self.scheduler = Scheduler(config)
        self.now = 0
        self.cut = False
        self.futile = 0  # preemptions since somebody's prompt or token was last done
        self.steps: list[RefStep] = []
        self.outcomes = {request.id: RefOutcome() for request in requests}
        arrived = [state for request in requests if (state := self._arrive(request))]
        self.upcoming = deque(sorted(arrived, key=self._visible_us))  # stable: ties keep the given order

    def run(self) -> RefResult:
        while not self.cut:
            self._add_visible()
            plan = self.scheduler.schedule(self.now)
            self.futile += len(plan.preempted)
            if self.futile > MOST_FUTILE:
                raise StallError(f"at {self.now} µs requests preempt each other for ever")
            if plan.tokens or plan.preempted:
                self._step(plan)
            elif self.upcoming:
                self._wait_for_next()
            elif self.scheduler.running or self.scheduler.waiting:
                raise StallError(f"at {self.now} µs nothing can be scheduled")
            else:
                break
        if self.cut:
            self.now = self.horizon
            self._add_visible()
        return self._result()

    def _arrive(self, request: RefRequest) -> RequestState | None:
        """Take in, refuse or never see a request."""
        outcome = self.outcomes[request.id]
        if request.arrival_us > self.horizon:
            outcome.status = "not_arrived"
            return None
        reason = refusal(request, self.config)
        if reason:
            outcome.status = reason
            return None
        return RequestState(request, output_limit(request, self.config), outcome, list(request.prompt))

    def _visible_us(self, state: RequestState) -> int:
        alpha0, alpha1, _ = self.config.alpha
        return state.request.arrival_us + int(alpha0 + alpha1 * len(state.request.prompt))

    def _add_visible(self) -> None:
        while self.upcoming and self._visible_us(self.upcoming[0]) <= self.now:
            state = self.upcoming.popleft()
            state.outcome.visible_us = self._visible_us(state)
            self.scheduler.add(state)

    def _wait_for_next(self) -> None:
        """Nothing to do: jump to the next moment at which a request becomes visible."""
        self.now = self._visible_us(self.upcoming[0])
        self.cut = self.now > self.horizon

    def _step(self, plan: Plan) -> None:
        """Run what was planned, from its start to its end."""
        batch = self._aggregates(plan)
        duration = max(1, self.config.step_time(batch)) if plan.tokens else 0
        self._note_admissions(plan)
        free = len(self.scheduler.pool.free)
        for state, tokens in plan.tokens.items():
            state.computed += tokens
        start, self.now = self.now, self.now + duration
        self.cut = self.now > self.horizon
        finished = [] if self.cut else self._sample(plan)
        self.steps.append(
            RefStep(
                t=start,
                dt=duration,
                sched=[(state.request.id, tokens) for state, tokens in plan.tokens.items()],
                new={state.request.id: cached for state, cached in plan.new.items()},
                resumed={state.request.id: cached for state, cached in plan.resumed.items()},
                preempted=[state.request.id for state in plan.preempted],
                finished=finished,
                pre_tok=batch.prefill_tokens,
                dec=batch.num_decodes,
                free=free,
                free_end=len(self.scheduler.pool.free),
                hashed=len(self.scheduler.pool.key_of),
                run=len(self.scheduler.running),
                wait=len(self.scheduler.waiting),
            )
        )

    def _note_admissions(self, plan: Plan) -> None:
        for state, cached in plan.new.items():
            state.outcome.first_scheduled_us = self.now
            state.outcome.cached_first = cached

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

    def _sample(self, plan: Plan) -> list[str]:
        """Hand out the tokens of a step that just ended, in running order; returns who is done."""
        finished = []
        for state in plan.tokens:  # scheduled in running order
            if state.computed < len(state.known):
                continue
            self.futile = 0
            if state.output_limit > 0:
                self._give_token(state)
            if state.outcome.n_out == state.output_limit:
                state.outcome.status = "completed"
                state.outcome.finish_us = self.now
                self.scheduler.finish(state)
                finished.append(state.request.id)
        return finished

    def _give_token(self, state: RequestState) -> None:
        outcome = state.outcome
        state.known.append(state.request.output[outcome.n_out])
        outcome.n_out += 1
        if outcome.first_token_us is None:
            outcome.first_token_us = self.now
        else:
            outcome.itls.append(self.now - state.last_token_us)
        state.last_token_us = self.now

    def _result(self) -> RefResult:
        """Close the books: who is still running, when the run ended."""
        for state in self.scheduler.running:
            state.outcome.status = "running"
        usable = self.config.total_kv_blocks - 1
        cut = self.cut or any(outcome.status == "not_arrived" for outcome in self.outcomes.values())
        last_end_us = self.steps[-1].t + self.steps[-1].dt if self.steps else 0
        return RefResult(
            steps=self.steps,
            requests=self.outcomes,
            end_us=self.horizon if cut else last_end_us,
            min_free_blocks=min((step.free for step in self.steps), default=usable),
        )
