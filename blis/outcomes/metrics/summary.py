"""The figures of one run under the names people know, in the order in which they are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from blis._core.codes import RequestStatus
from blis.outcomes.metrics.groups import rows_by_code
from blis.outcomes.metrics.latency import duration_figures, histogram_figures, known
from blis.outcomes.metrics.network import client_e2e_us, client_ttft_us, has_network
from blis.outcomes.metrics.throughput import cache_hit_rate, count_by_status, per_second, queued_tokens
from blis.outcomes.outcomes import ItlHistogram, Outcomes, Rows, instance_ids


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

    With more than one instance the block says first that it is that of the ``cluster``. Its durations and rates are
    over all requests and the whole run, ``kv_blocks_total`` is that of each instance and ``kv_blocks_peak`` the
    highest of them.

    Args:
        outcomes: of a run or read from a file.
        wall_clock: adds ``sim_start_timestamp``, ``sim_end_timestamp`` and ``simulation_duration_s``.
    """
    result = outcomes.result
    unlisted = outcomes.table.unlisted
    scope = _Scope(slice(None), outcomes.itl, result.end_us, result.peak_used_blocks, unlisted)
    return {
        **({"instance_id": "cluster"} if len(result.instances) > 1 else {}),
        **_stamps(wall_clock),
        **_figures(outcomes, scope, wall_clock),
    }


def instance_summaries(outcomes: Outcomes) -> list[dict[str, Any]]:
    """The same figures for each instance, over the requests sent to it and until its own end, or the horizon."""
    result = outcomes.result
    names = instance_ids(len(result.instances))
    blocks = []
    for index, rows in enumerate(rows_by_code(result.instance, len(names))):
        end_us, peak = (int(column[index]) for column in (result.instances.end_us, result.instances.peak_used_blocks))
        scope = _Scope(rows, outcomes.itl_of(instance=index), end_us, peak)
        blocks.append({"instance_id": names[index], **_figures(outcomes, scope)})
    return blocks


class _Scope(NamedTuple):
    """What a block covers."""

    rows: Rows
    itl: ItlHistogram
    end_us: int
    peak_used_blocks: int
    unlisted: int = 0


def _figures(outcomes: Outcomes, scope: _Scope, wall_clock: WallClock | None = None) -> dict[str, Any]:
    result, rows, end_us = outcomes.result, scope.rows, scope.end_us
    input_tokens, status = outcomes.table.input_tokens[rows], result.status[rows]
    counts = count_by_status(status)
    produced = int(result.produced_tokens[rows].sum())
    scheduling_delay = duration_figures("scheduling_delay", known(outcomes.scheduling_delay_us(rows)))
    return {
        "completed_requests": counts[RequestStatus.COMPLETED],
        "total_input_tokens": queued_tokens(input_tokens, status),
        "total_output_tokens": produced,
        "vllm_estimated_duration_s": end_us / 1e6,
        **({"simulation_duration_s": wall_clock.duration_s} if wall_clock else {}),
        "responses_per_sec": per_second(counts[RequestStatus.COMPLETED], end_us),
        "tokens_per_sec": per_second(produced, end_us),
        **duration_figures("e2e", known(outcomes.e2e_us(rows))),
        **duration_figures("ttft", known(outcomes.ttft_us(rows))),
        **histogram_figures("itl", *scope.itl),
        "scheduling_delay_p99_ms": scheduling_delay.pop("scheduling_delay_p99_ms"),
        **scheduling_delay,
        **duration_figures("tpot", known(outcomes.itl_mean_us(rows))),
        **_client_figures(outcomes, rows),
        **_request_counts(counts, scope.unlisted),
        "preemption_count": int(result.num_preemptions[rows].sum()),
        "cache_hit_rate": cache_hit_rate(result.cached_tokens[rows], input_tokens, result.first_scheduled_us[rows]),
        "kv_blocks_total": result.usable_blocks + 1,  # vLLM's num_gpu_blocks counts the reserved one
        "kv_blocks_peak": scope.peak_used_blocks,
        "interrupted": result.interrupted,
    }


def _client_figures(outcomes: Outcomes, rows: Rows) -> dict[str, float | None]:
    if not has_network(outcomes):
        return {}
    return {
        **duration_figures("client_ttft", known(client_ttft_us(outcomes, rows))),
        **duration_figures("client_e2e", known(client_e2e_us(outcomes, rows))),
    }


def _stamps(wall_clock: WallClock | None) -> dict[str, str]:
    if wall_clock is None:
        return {}
    return {"sim_start_timestamp": wall_clock.start, "sim_end_timestamp": wall_clock.end}


def _request_counts(counts: dict[RequestStatus, int], unlisted: int) -> dict[str, int]:
    """Where the requests are; those that arrived (``injected``) are the completed ones and the next five."""
    not_arrived, not_sent = counts[RequestStatus.NOT_ARRIVED], counts[RequestStatus.NOT_SENT]
    return {
        "injected_requests": sum(counts.values()) - not_arrived - not_sent,
        "running_requests": counts[RequestStatus.RUNNING],
        "waiting_requests": counts[RequestStatus.WAITING],
        "rejected_requests": counts[RequestStatus.REJECTED],
        "refused_too_long_requests": counts[RequestStatus.REFUSED_TOO_LONG],
        "refused_never_fits_requests": counts[RequestStatus.REFUSED_NEVER_FITS],
        "not_arrived_requests": not_arrived + unlisted,
        **({"not_sent_requests": not_sent} if not_sent else {}),
    }
