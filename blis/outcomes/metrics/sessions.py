"""Figures of conversations: how many went to their end, and what first and later turns waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NONE, RequestStatus
from blis.outcomes.metrics.latency import duration_figures, known
from blis.outcomes.metrics.throughput import cache_hit_rate, count_by_status

if TYPE_CHECKING:
    from blis.outcomes.outcomes import Outcomes

Ints = NDArray[np.int64]

#: States of a session, each in exactly one; the first that holds.
STATES = ("failed", "not_started", "completed", "unfinished")

_FAILED = (RequestStatus.REJECTED, RequestStatus.REFUSED_TOO_LONG, RequestStatus.REFUSED_NEVER_FITS)


def session_figures(outcomes: Outcomes) -> dict[str, Any] | None:
    """Compute figures of sessions and of their turns.

    A session has ``failed`` if one of its turns was rejected or refused, is ``not_started`` if its first turn never
    arrived, ``completed`` if all its turns are, else ``unfinished``. Cold is the first turn, warm are all others.

    Returns:
        Counts, durations of completed sessions (first arrival to last token at the client), time to first token of cold
        and warm turns, and figures per turn; None if there are no sessions.
    """
    sessions = outcomes.table.sessions
    if sessions is None or not (sessions.session != NONE).any():
        return None
    rows = np.flatnonzero(sessions.session != NONE)
    numbers, session_of = np.unique(sessions.session[rows], return_inverse=True)
    state = _states(outcomes.result.status[rows], sessions.turn[rows], session_of, len(numbers))
    turn = sessions.turn[rows]
    return {
        "sessions": len(numbers),
        **{f"{name}_sessions": int(np.count_nonzero(state == code)) for code, name in enumerate(STATES)},
        **duration_figures("session_duration", _durations_us(outcomes, rows, session_of, state)),
        **duration_figures("cold_ttft", known(outcomes.ttft_us(rows[turn == 0]))),
        **duration_figures("warm_ttft", known(outcomes.ttft_us(rows[turn > 0]))),
        "turns": [_turn_figures(outcomes, int(place), rows[turn == place]) for place in np.unique(turn)],
    }


def _states(status: Ints, turn: Ints, session_of: Ints, count: int) -> Ints:
    def any_of(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.bincount(session_of[chosen], minlength=count) > 0

    failed = any_of(np.isin(status, _FAILED))
    not_started = any_of((turn == 0) & (status == RequestStatus.NOT_ARRIVED))
    unfinished = any_of(status != RequestStatus.COMPLETED)
    return np.select([failed, not_started, ~unfinished], [0, 1, 2], 3)


def _durations_us(outcomes: Outcomes, rows: Ints, session_of: Ints, state: Ints) -> Ints:
    """From the first arrival of each completed session to the last token of its last turn."""
    arrival_us = outcomes.result.arrival_us[rows]
    first = np.full(len(state), np.iinfo(np.int64).max)
    np.minimum.at(first, session_of, arrival_us)
    last = np.zeros(len(state), np.int64)
    np.maximum.at(last, session_of, arrival_us + outcomes.e2e_us(rows))
    completed: Ints = (last - first)[state == STATES.index("completed")]
    return completed


def _turn_figures(outcomes: Outcomes, turn: int, rows: Ints) -> dict[str, Any]:
    result = outcomes.result
    counts = count_by_status(result.status[rows])
    hit_rate = cache_hit_rate(
        result.cached_tokens[rows], outcomes.table.input_tokens[rows], result.first_scheduled_us[rows]
    )
    return {
        "turn": turn,
        "requests": len(rows) - counts[RequestStatus.NOT_ARRIVED] - counts[RequestStatus.NOT_SENT],
        "completed": counts[RequestStatus.COMPLETED],
        "input_tokens_mean": float(outcomes.table.input_tokens[rows].mean()),
        "cache_hit_rate": hit_rate,
        **duration_figures("ttft", known(outcomes.ttft_us(rows))),
        **duration_figures("e2e", known(outcomes.e2e_us(rows))),
    }
