"""Whether a run settled, and how well its means are known if it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from blis._core.codes import RequestStatus
from blis.outcomes import Ints, Outcomes
from blis.statistics.estimates import Estimate, batch_means, warm_up_of
from blis.statistics.stability import Stability, stability

VERDICTS = {True: "stable", False: "overloaded", None: "too short to tell"}
#: Means of fewer batches get no interval.
FEWEST_BATCHES = 10

_SERVED = (RequestStatus.WAITING, RequestStatus.RUNNING, RequestStatus.COMPLETED)


@dataclass(frozen=True)
class SteadyState:
    """What can be said of the steady state of a run.

    Attributes:
        backlog: whether it grows, and how fast.
        warm_up_requests: completed requests at the start that intervals leave out.
        e2e: mean end-to-end latency in µs; None: overloaded, or too few requests.
        ttft: mean time to first token in µs, of those that arrived after the warm-up; None likewise.
    """

    backlog: Stability
    warm_up_requests: int
    e2e: Estimate | None
    ttft: Estimate | None

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        return VERDICTS[self.backlog.stable]

    def figures(self) -> dict[str, Any]:
        """The key ``steady_state`` of the metrics block (docs/output.md)."""
        return {
            "verdict": self.verdict,
            "warm_up_requests": self.warm_up_requests,
            "e2e_mean_ms_ci95": _interval_ms(self.e2e),
            "ttft_mean_ms_ci95": _interval_ms(self.ttft),
            "effective_sample_size": None if self.e2e is None else round(self.e2e.effective_sample_size, 1),
        }


def steady_state(outcomes: Outcomes) -> SteadyState:
    """Judge the backlog of a run, and estimate the means of its steady state with 95 % intervals.

    The warm-up is that of the end-to-end latencies, in order of arrival (`blis.statistics.estimates.warm_up_of`).

    Args:
        outcomes: of a run or read from a file.
    """
    result = outcomes.result
    order = arrival_order(outcomes)
    served = order[np.isin(result.status[order], _SERVED)]
    end_us = min(result.end_us, last_beginning_us(outcomes))
    backlog = stability(result.arrival_us[served], result.finished_us[served], end_us=end_us)
    completed = order[result.status[order] == RequestStatus.COMPLETED]
    e2e_us = outcomes.e2e_us(completed).astype(np.float64)
    warm_up = warm_up_of(e2e_us)
    if backlog.stable is False or len(completed) == 0:
        return SteadyState(backlog, warm_up, None, None)
    begin_us = result.arrival_us[completed[warm_up]]
    ttft_us = outcomes.ttft_us(order)[result.arrival_us[order] >= begin_us]
    return SteadyState(
        backlog,
        warm_up,
        _estimate(e2e_us[warm_up:]),
        _estimate(ttft_us[ttft_us >= 0].astype(np.float64)),
    )


def last_beginning_us(outcomes: Outcomes) -> int:
    """When the last request arrived that is no later turn of a session: from then on load only falls."""
    arrival_us = outcomes.result.arrival_us
    if outcomes.table.sessions is not None:
        arrival_us = arrival_us[outcomes.table.sessions.turn <= 0]
    return int(arrival_us.max(initial=0))


def arrival_order(outcomes: Outcomes) -> Ints:
    """(n,) rows in the order in which they arrived."""
    arrival_us = outcomes.result.arrival_us
    if (arrival_us[1:] >= arrival_us[:-1]).all():
        return np.arange(len(arrival_us))
    return np.argsort(arrival_us, kind="stable")


def _estimate(values: np.ndarray[Any, np.dtype[np.float64]]) -> Estimate | None:
    estimate = batch_means(values, warm_up=0) if len(values) else None
    return estimate if estimate is not None and estimate.num_batches >= FEWEST_BATCHES else None


def _interval_ms(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [round(end_us / 1000, 3) for end_us in (estimate.low, estimate.high)]
