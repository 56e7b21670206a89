"""What a run says about SLOs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import RequestStatus
from blis.outcomes.metrics.latency import duration_figures, histogram_figures
from blis.outcomes.metrics.steady_state import arrival_order, backlog_of, last_beginning_us
from blis.outcomes.outcomes import Ints, Outcomes, has_status
from blis.outcomes.statistics.stability import Stability
from blis.outcomes.statistics.warm_up import mser5
from blis.studies.capacity.objectives import GOODPUT, STATISTICS, Objective, Slos

Floats = NDArray[np.float64]

#: Share of the requests at the start that is always left out: the system starts empty.
WARM_UP = 0.1
#: Share at the end that is left out at most: their neighbours never came.
MOST_COOL_DOWN = 0.2
#: Figures of every run, whether or not there is a limit of them.
ALWAYS = ("mean_ttft", "p99_ttft", "mean_itl", "p99_itl")

#: Stands in for the latency of a request that is never answered, µs: beyond any that is measured.
_NEVER_US = 1e18
_ANSWERED = RequestStatus.COMPLETED
_NEVER_SERVED = (RequestStatus.REFUSED_TOO_LONG, RequestStatus.REFUSED_NEVER_FITS)
#: Requests that say nothing about the load: no server could take them, or they never came.
_NOT_COUNTED = (*_NEVER_SERVED, RequestStatus.NOT_SENT, RequestStatus.NOT_ARRIVED)


@dataclass(frozen=True)
class Sample:
    """What one run says.

    Attributes:
        values: figures by name, µs; of ``goodput`` a share. inf: too many requests were turned away; nan: no request
            has that latency.
        backlog: whether it grew.
        output_tokens_per_s: from the first arrival to the last answer.
        num_refused: requests that no server of this kind could take.
        num_requests: of the run.
        latencies: all figures of each latency that is limited, by statistic, µs.
        missing: latencies that are limited and that no request has.
        arriving: share of the time from the first arrival to the last answer in which requests arrived.
    """

    values: Mapping[str, float]
    backlog: Stability
    output_tokens_per_s: float
    num_refused: int
    num_requests: int = 0
    latencies: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    arriving: float = 1.0


def measure(outcomes: Outcomes, slos: Slos) -> Sample:
    """Compute figures of the steady part of a run.

    Left out are requests that arrive in the warm-up (a tenth, or what MSER-5 finds in end-to-end latencies if that is
    more), and in the last mean latency before the end of arrivals, at most a fifth: nobody arrives any more behind
    them. So are turns of sessions that arrive when no session begins any more. Percentiles of gaps between tokens are
    of all requests. A request that was turned away has an endless latency.
    """
    result = outcomes.result
    order = arrival_order(outcomes)
    last_us = last_beginning_us(outcomes)
    counted = order[~has_status(result.status[order], _NOT_COUNTED) & (result.arrival_us[order] <= last_us)]
    rows = _steady(outcomes, counted)
    limited = {objective.metric for objective in slos.objectives}
    shown = [Objective(name, 1.0) for name in dict.fromkeys([*(each.name for each in slos.of_all), *ALWAYS])]
    latencies = {name: _figures(outcomes, rows, name) for name in sorted({each.metric for each in shown} | limited)}
    values = {each.name: latencies[each.metric][each.statistic] for each in shown}
    if slos.per_request:
        values[GOODPUT] = _goodput(outcomes, rows, slos)
    served = counted[result.status[counted] == _ANSWERED]
    first_us = int(result.arrival_us[counted[0]]) if len(counted) else result.end_us
    duration_s = (result.end_us - first_us) / 1e6
    return Sample(
        values,
        backlog_of(outcomes, served),
        int(result.produced_tokens.sum()) / duration_s if duration_s > 0 else 0.0,
        int(has_status(result.status, _NEVER_SERVED).sum()),
        len(result.status),
        {name: latencies[name] for name in limited},
        frozenset(name for name in limited if math.isnan(latencies[name]["mean"])),
        (last_us - first_us) / (1e6 * duration_s) if last_us > first_us else 1.0,
    )


def _steady(outcomes: Outcomes, counted: Ints) -> Ints:
    """Rows to look at, of those that count."""
    count = len(counted)
    e2e_us = outcomes.e2e_us(counted).astype(np.float64)
    start = max(int(WARM_UP * count), min(mser5(e2e_us[e2e_us >= 0]), count // 2))
    arrival_us = outcomes.result.arrival_us[counted]
    answered = e2e_us[e2e_us >= 0]
    if len(answered) == 0:
        return counted
    until = int(np.searchsorted(arrival_us, arrival_us[-1] - answered.mean(), "right"))
    return counted[start : max(until, count - int(MOST_COOL_DOWN * count))]


def _latency_us(outcomes: Outcomes, rows: Ints, metric: str) -> tuple[Floats, Any]:
    """Latencies of rows, and which of these rows have one."""
    by_metric = {
        "ttft": outcomes.ttft_us,
        "e2e": outcomes.e2e_us,
        "tpot": outcomes.itl_mean_us,
        "itl": outcomes.itl_mean_us,
        "scheduling_delay": outcomes.scheduling_delay_us,
    }
    values = by_metric[metric](rows).astype(np.float64)
    values[outcomes.result.status[rows] != _ANSWERED] = _NEVER_US
    return values, values >= 0  # neither -1 nor nan


def _figures(outcomes: Outcomes, rows: Ints, metric: str) -> dict[str, float]:
    """All figures of a latency by statistic, µs; nan: no request has one."""
    values_us, known = _latency_us(outcomes, rows, metric)
    if metric == "itl":
        figures = histogram_figures("x", *outcomes.itl)
        figures["x_mean_ms"] = _mean_gap_ms(outcomes, rows[known], values_us[known])
    else:
        figures = duration_figures("x", values_us[known])
    never = math.inf if (outcomes.result.status[rows] != _ANSWERED).any() else math.nan  # all turned away: endless
    return {name: _us(figures[f"x_{name}_ms"], never) for name in STATISTICS}


def _us(value_ms: float | None, never: float) -> float:
    if value_ms is None:
        return never
    return 1000 * value_ms if 1000 * value_ms < _NEVER_US / 1e6 else math.inf


def _mean_gap_ms(outcomes: Outcomes, rows: Ints, itl_mean_us: Floats) -> float | None:
    """Mean over all gaps between tokens, from the mean of each request; None: there are no gaps."""
    gaps = np.maximum(outcomes.result.produced_tokens[rows] - 1, 0)
    answered = outcomes.result.status[rows] == _ANSWERED
    gaps, itl_mean_us = gaps[answered], itl_mean_us[answered]
    return float((gaps * itl_mean_us).sum() / gaps.sum() / 1000) if gaps.sum() else None


def _goodput(outcomes: Outcomes, rows: Ints, slos: Slos) -> float:
    good = np.full(len(rows), True)
    for objective in slos.per_request:
        values_us, known = _latency_us(outcomes, rows, objective.metric)
        good &= ~known | (values_us <= objective.limit_us)
    return float(good.mean()) if len(rows) else 1.0
