"""Whether a run settled, and how well its means are known if it did."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import RequestStatus
from blis.outcomes.outcomes import SERVED, Ints, Outcomes, has_status
from blis.outcomes.statistics.arrivals import ArrivalRate
from blis.outcomes.statistics.estimates import Estimate, batch_means, warm_up_of
from blis.outcomes.statistics.stability import Stability, stability

Floats = NDArray[np.float64]

VERDICTS = {True: "stable", False: "overloaded", None: "too short to tell"}
#: Means of fewer batches get no interval.
FEWEST_BATCHES = 10


class SteadyState:
    """What can be said of the steady state of a run; computed when it is asked for.

    The warm-up is that of the end-to-end latencies, in order of arrival
    (`blis.outcomes.statistics.estimates.warm_up_of`).

    Args:
        outcomes: of a run or read from a file.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._order = arrival_order(outcomes)

    def __repr__(self) -> str:
        mean = "no interval" if self.e2e is None else f"E2E {self.e2e.mean / 1000:,.4g} ms on average"
        return f"<SteadyState: {self.verdict}, {mean}>"

    @cached_property
    def last_arrival_us(self) -> int:
        """When the last request arrived that is no later turn of a session, or the run ended."""
        return min(self._outcomes.result.end_us, last_beginning_us(self._outcomes))

    @cached_property
    def backlog(self) -> Stability:
        """Whether it grows, and how fast."""
        served = self._order[has_status(self._outcomes.result.status[self._order], SERVED)]
        return backlog_of(self._outcomes, served)

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        return VERDICTS[self.backlog.stable]

    @property
    def load(self) -> ArrivalRate | None:
        """How the arrival rate goes; None: too few arrivals to tell."""
        return self.backlog.rate

    @property
    def has_changing_load(self) -> bool:
        """Whether the arrival rate is known not to be constant: there is no steady state then, only times of day."""
        return self.load is not None and not self.load.is_constant

    @cached_property
    def warm_up_requests(self) -> int:
        """Completed requests at the start that intervals leave out."""
        return warm_up_of(self._e2e_us)

    @cached_property
    def e2e(self) -> Estimate | None:
        """Mean end-to-end latency in µs; None: overloaded, a load that changes, or too few requests."""
        return self._estimate(self._e2e_us[self.warm_up_requests :])

    @cached_property
    def ttft(self) -> Estimate | None:
        """Mean time to first token in µs, of those that arrived after the warm-up; None likewise."""
        if len(self._completed) == 0:
            return None
        arrival_us = self._outcomes.result.arrival_us
        begin_us = arrival_us[self._completed[self.warm_up_requests]]
        ttft_us = self._outcomes.ttft_us(self._order)[arrival_us[self._order] >= begin_us]
        return self._estimate(ttft_us[ttft_us >= 0].astype(np.float64))

    def figures(self) -> dict[str, Any]:
        """The key ``steady_state`` of the metrics block (docs/output.md)."""
        return {
            "verdict": self.verdict,
            "load": None if self.load is None else self.load.course,
            "peak_arrivals_per_s": None if self.load is None else round(self.load.peak_per_s, 3),
            "overloaded_s": None if self.backlog.stable is not False else _seconds(self.backlog.window_us),
            "warm_up_requests": self.warm_up_requests,
            "e2e_mean_ms_ci95": _interval_ms(self.e2e),
            "ttft_mean_ms_ci95": _interval_ms(self.ttft),
            "effective_sample_size": None if self.e2e is None else round(self.e2e.effective_sample_size, 1),
        }

    @cached_property
    def _completed(self) -> Ints:
        completed: Ints = self._order[self._outcomes.result.status[self._order] == RequestStatus.COMPLETED]
        return completed

    @cached_property
    def _e2e_us(self) -> Floats:
        return self._outcomes.e2e_us(self._completed).astype(np.float64)

    def _estimate(self, values: Floats) -> Estimate | None:
        if self.backlog.stable is False or self.has_changing_load or len(values) == 0:
            return None
        estimate = batch_means(values, warm_up=0)
        return estimate if estimate.num_batches >= FEWEST_BATCHES else None


def backlog_of(outcomes: Outcomes, rows: Ints) -> Stability:
    """What the number in the system and the queue do over time; the load is that of requests that wait for no other.

    Args:
        outcomes: of a run or read from a file.
        rows: requests that came to be served, in the order in which they arrived.
    """
    result = outcomes.result
    end_us = min(result.end_us, last_beginning_us(outcomes))
    sessions = outcomes.table.sessions
    beginning = rows if sessions is None else rows[sessions.turn[rows] <= 0]
    return stability(
        result.arrival_us[rows],
        result.finished_us[rows],
        end_us=end_us,
        started_us=result.first_scheduled_us[rows],
        load_us=result.arrival_us[beginning],
    )


def last_beginning_us(outcomes: Outcomes) -> int:
    """When the last request arrived that is no later turn of a session: from then on load only falls."""
    sessions, arrival_us = outcomes.table.sessions, outcomes.result.arrival_us
    return int((arrival_us if sessions is None else arrival_us[sessions.turn <= 0]).max(initial=0))


def arrival_order(outcomes: Outcomes) -> Ints:
    """(n,) rows in the order in which they arrived."""
    arrival_us = outcomes.result.arrival_us
    if (arrival_us[1:] >= arrival_us[:-1]).all():
        return np.arange(len(arrival_us))
    return np.argsort(arrival_us, kind="stable")


def _interval_ms(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [round(end_us / 1000, 3) for end_us in (estimate.low, estimate.high)]


def _seconds(window_us: tuple[float, float]) -> list[float]:
    return [round(stamp_us / 1e6, 3) for stamp_us in window_us]
