"""Rates, counts and shares of a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import RequestStatus
from blis.outcomes.outcomes import SERVED, has_status

Ints = NDArray[np.int64]


def per_second(count: int, duration_us: int) -> float | None:
    """Rate over the whole run; None for a run without duration."""
    return count / (duration_us / 1e6) if duration_us > 0 else None


def count_by_status(status: Ints) -> dict[RequestStatus, int]:
    """How many requests ended in each state; every state is there."""
    counts = np.bincount(status, minlength=len(RequestStatus)).tolist()
    return dict(zip(RequestStatus, counts, strict=True))


def queued_tokens(tokens: Ints, status: Ints) -> int:
    """Sum of ``tokens`` over the requests that arrived and were neither rejected nor refused."""
    return int(tokens[has_status(status, SERVED)].sum())


def cache_hit_rate(cached_tokens: Ints, input_tokens: Ints, first_scheduled_us: Ints) -> float | None:
    """Share of the admitted requests' prompt tokens that the prefix cache held when they were first scheduled.

    None if nothing was admitted.
    """
    admitted = first_scheduled_us >= 0
    prompt = int(input_tokens[admitted].sum())
    return int(cached_tokens[admitted].sum()) / prompt if prompt else None
