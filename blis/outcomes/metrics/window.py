"""What has to be said of the time a run covers: that nothing was served in it, or that most of it was idle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from blis._core.codes import NEVER, RequestStatus
from blis.outcomes.metrics.throughput import count_by_status

if TYPE_CHECKING:
    from blis.outcomes.outcomes import Outcomes

_ENDINGS = {
    RequestStatus.REJECTED: "rejected by the admission policy",
    RequestStatus.REFUSED_TOO_LONG: "refused as too long",
    RequestStatus.REFUSED_NEVER_FITS: "refused as too large for the KV cache",
    RequestStatus.WAITING: "still waiting",
    RequestStatus.RUNNING: "still running",
}


def window_notes(outcomes: Outcomes) -> Iterator[str]:
    """Sentences about the window of a run, none if there is nothing to say."""
    if outcomes.result.interrupted:
        return
    horizon_us = outcomes.metadata.get("horizon_us")
    counts = count_by_status(outcomes.result.status)
    unsent = counts[RequestStatus.NOT_ARRIVED] + counts[RequestStatus.NOT_SENT]
    if len(outcomes) == unsent:
        yield f"nothing was served: {_why_nothing_arrives(outcomes, horizon_us)}"
    elif not counts[RequestStatus.COMPLETED]:
        endings = ", ".join(f"{counts[code]:,} {words}" for code, words in _ENDINGS.items() if counts[code])
        until = "" if horizon_us is None else f" at the horizon of {_moment(horizon_us)}; horizons are in µs"
        yield f"no request was completed: {endings}{until}"
    elif not counts[RequestStatus.NOT_ARRIVED] and not outcomes.table.unlisted:
        last_us, end_us = int(outcomes.result.finished_us.max()), outcomes.result.end_us
        if not (counts[RequestStatus.WAITING] or counts[RequestStatus.RUNNING]) and last_us < end_us / 2:
            yield f"all was done at {_moment(last_us)}; rates count the whole time to the horizon of {_moment(end_us)}"


def _why_nothing_arrives(outcomes: Outcomes, horizon_us: int | None) -> str:
    if horizon_us is None:
        return "the workload holds no requests"
    arrival_us = outcomes.result.arrival_us
    known = arrival_us[arrival_us != NEVER]
    first = f"; the first would at {_moment(int(known.min()))}" if len(known) else ""
    return f"nothing arrives before the horizon of {_moment(horizon_us)}{first}; horizons are in µs"


def _moment(time_us: int) -> str:
    return f"{time_us:,} µs ({time_us / 1e6:,g} s)"
