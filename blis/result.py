"""`EngineResult`: what one run of the engine leaves behind, as plain arrays in the order of the requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class EngineResult:
    """Raw outcome of one run. Times are µs on the simulated clock, -1 where it never happened.

    None of the times contains the client-side cost per output token (``alpha[2]``).

    Attributes:
        enqueued_us: (n,) visible to the scheduler.
        first_scheduled_us: (n,) start of the first step that scheduled some of it.
        first_token_us: (n,) end of the step that produced its first output token.
        finished_us: (n,) end of the step that finished it.
        produced_tokens: (n,) output tokens it got.
        cached_tokens: (n,) prompt tokens found in the prefix cache when it was first scheduled.
        num_preemptions: (n,) how often it lost its blocks.
        status: (n,) `blis._core.codes.RequestStatus`.
        end_us: end of the run: the last step's end, or the horizon if that cut the run.
        num_steps: steps that ran tokens.
        peak_used_blocks: most KV blocks in use at once.
        usable_blocks: KV blocks there are, the reserved one not counted.
        itl_values_us: (k,) distinct gaps between consecutive output tokens of one request, ascending.
        itl_counts: (k,) how often each occurred.
        interrupted: stopped by the user before its end.
    """

    enqueued_us: Ints
    first_scheduled_us: Ints
    first_token_us: Ints
    finished_us: Ints
    produced_tokens: Ints
    cached_tokens: Ints
    num_preemptions: Ints
    status: Ints
    end_us: int
    num_steps: int
    peak_used_blocks: int
    usable_blocks: int
    itl_values_us: Ints
    itl_counts: Ints
    interrupted: bool
