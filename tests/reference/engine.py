"""The clock of a single instance: arrivals, one step after the other, the horizon."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from .block_pool import ContentKeys
from .instance import Instance, StallError, output_limit, queueing_us, refusal
from .records import BatchAggregates, RefConfig, RefOutcome, RefRequest, RefResult, RefStep
from .scheduler import RequestState

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


class _Run:
    """State of one run: the clock, the requests still to come."""

    def __init__(self, requests: Sequence[RefRequest], config: RefConfig) -> None:
        self.config = config
        self.horizon = NO_HORIZON_US if config.horizon_us is None else config.horizon_us
        self.instance = Instance(config, ContentKeys())
        self.now = 0
        self.cut = False
        self.outcomes = {request.id: RefOutcome() for request in requests}
        arrived = [state for request in requests if (state := self._arrive(request))]
        self.upcoming = deque(sorted(arrived, key=self._visible_us))  # stable: ties keep the given order

    def run(self) -> RefResult:
        while (next_us := self._next_us()) is not None:
            if next_us > self.horizon:
                self.cut = True
                break
            self.now = next_us
            self._add_visible()
            if self.instance.next_us == self.now:
                self.instance.go_on()
        if not self.cut and self.instance.has_work:
            raise StallError(f"at {self.now} µs nothing can be scheduled")
        if self.cut:
            self.now = self.horizon
            self._add_visible()
        return self._result()

    def _next_us(self) -> int | None:
        """When the next thing happens; None: nothing does."""
        times = [self._visible_us(self.upcoming[0])] if self.upcoming else []
        if self.instance.next_us is not None:
            times.append(self.instance.next_us)
        return min(times, default=None)

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
        return state.request.arrival_us + queueing_us(state.request, self.config)

    def _add_visible(self) -> None:
        while self.upcoming and self._visible_us(self.upcoming[0]) <= self.now:
            state = self.upcoming.popleft()
            self.instance.add(state, self._visible_us(state))

    def _result(self) -> RefResult:
        """Close the books: who is still running, when the run ended."""
        self.instance.close()
        steps = self.instance.steps
        cut = self.cut or any(outcome.status == "not_arrived" for outcome in self.outcomes.values())
        last_end_us = max((step.seen for step in steps if step.sched and step.seen is not None), default=0)
        return RefResult(
            steps=steps,
            requests=self.outcomes,
            end_us=self.horizon if cut else last_end_us,
            min_free_blocks=self.instance.min_free_blocks,
        )
