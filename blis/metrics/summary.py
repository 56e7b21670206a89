"""The figures of one run under the names people know, in the order in which they are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import RequestStatus
from blis.metrics.latency import duration_figures, histogram_figures
from blis.metrics.throughput import cache_hit_rate, count_by_status, per_second, queued_tokens

if TYPE_CHECKING:
    from blis.outcomes import Outcomes

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WallClock:
    """When a run took place, for those who ask; never part of outcomes.

    Attributes:
        start: local time, ``YYYY-MM-DD HH:MM:SS``.
        end: likewise.
        duration_s: wall seconds in between.
    """

    start: str
    end: str
    duration_s: float


def summarize(outcomes: Outcomes, wall_clock: WallClock | None = None) -> dict[str, Any]:
    """Compute every figure of the metrics block; what cannot be computed is None.

    Args:
        outcomes: of a run or read from a file.
        wall_clock: adds ``sim_start_timestamp``, ``sim_end_timestamp`` and ``simulation_duration_s``.
    """
    result = outcomes.result
    counts = count_by_status(result.status)
    produced = int(result.produced_tokens.sum())
    scheduling_delay = duration_figures("scheduling_delay", _known(outcomes.scheduling_delay_us()))
    itl_mean_us = outcomes.itl_mean_us()
    return {
        **_stamps(wall_clock),
        "completed_requests": counts[RequestStatus.COMPLETED],
        "total_input_tokens": queued_tokens(outcomes.table.input_tokens, result.status),
        "total_output_tokens": produced,
        "vllm_estimated_duration_s": result.end_us / 1e6,
        **({"simulation_duration_s": wall_clock.duration_s} if wall_clock else {}),
        "responses_per_sec": per_second(counts[RequestStatus.COMPLETED], result.end_us),
        "tokens_per_sec": per_second(produced, result.end_us),
        **duration_figures("e2e", _known(outcomes.e2e_us())),
        **duration_figures("ttft", _known(outcomes.ttft_us())),
        **histogram_figures("itl", *outcomes.itl),
        "scheduling_delay_p99_ms": scheduling_delay.pop("scheduling_delay_p99_ms"),
        **scheduling_delay,
        **duration_figures("tpot", itl_mean_us[~np.isnan(itl_mean_us)]),
        **_request_counts(counts),
        "preemption_count": int(result.num_preemptions.sum()),
        "cache_hit_rate": cache_hit_rate(result.cached_tokens, outcomes.table.input_tokens, result.first_scheduled_us),
        "kv_blocks_total": result.usable_blocks + 1,  # vLLM's num_gpu_blocks counts the reserved one
        "kv_blocks_peak": result.peak_used_blocks,
        "interrupted": result.interrupted,
    }


def _known(values_us: Ints) -> Ints:
    return values_us[values_us >= 0]


def _stamps(wall_clock: WallClock | None) -> dict[str, str]:
    if wall_clock is None:
        return {}
    return {"sim_start_timestamp": wall_clock.start, "sim_end_timestamp": wall_clock.end}


def _request_counts(counts: dict[RequestStatus, int]) -> dict[str, int]:
    """Where the requests are; those that arrived (``injected``) are the sum of the first six."""
    not_arrived = counts[RequestStatus.NOT_ARRIVED]
    return {
        "injected_requests": sum(counts.values()) - not_arrived,
        "running_requests": counts[RequestStatus.RUNNING],
        "waiting_requests": counts[RequestStatus.WAITING],
        "rejected_requests": counts[RequestStatus.REJECTED],
        "refused_too_long_requests": counts[RequestStatus.REFUSED_TOO_LONG],
        "refused_never_fits_requests": counts[RequestStatus.REFUSED_NEVER_FITS],
        "not_arrived_requests": not_arrived,
    }
