"""Outcomes made by hand, for tests that need no engine."""

import numpy as np

from blis._core.codes import NEVER, RequestStatus
from blis.latency.law import LatencyModel
from blis.outcomes import Outcomes
from blis.result import EngineResult
from blis.workload.requests import RequestTable

#: Client-side cost per output token: trunc(12.9).
ALPHA = (100.0, 1.0, 12.9)
CLIENT_US = 12


def ints(*values):
    return np.array(values, dtype=np.int64)


def make_outcomes(rows, *, gaps=(), end_us=1_000_000, interrupted=False, peak=5, usable=99, metadata=None):
    """Outcomes of rows (arrival, input, output, scheduled, first token, finished, produced, status, cached)."""
    columns = [ints(*column) for column in zip(*rows, strict=True)] or [ints()] * 9
    arrival, inputs, outputs, scheduled, first, finished, produced, status, cached = columns
    values, counts = np.unique(ints(*gaps), return_counts=True)
    result = EngineResult(
        enqueued_us=np.where(scheduled >= 0, arrival + 100 + inputs, NEVER),
        first_scheduled_us=scheduled,
        first_token_us=first,
        finished_us=finished,
        produced_tokens=produced,
        cached_tokens=cached,
        num_preemptions=(status == RequestStatus.WAITING).astype(np.int64),
        status=status,
        end_us=end_us,
        num_steps=7,
        peak_used_blocks=peak,
        usable_blocks=usable,
        itl_values_us=values,
        itl_counts=counts,
        interrupted=interrupted,
    )
    latency = LatencyModel("blackbox", ALPHA, lambda: None, np.zeros(3))
    return Outcomes.of(RequestTable(arrival, inputs, outputs), result, latency, metadata or {"seed": 42})


def mixed_outcomes():
    """One request per status; the second to arrive stands first. Stamps by hand."""
    status = RequestStatus
    return make_outcomes(
        [
            # arrival, input, output, scheduled, first, finished, produced, status, cached
            (2_000, 64, 4, 2_500, 4_000, 10_000, 4, status.COMPLETED, 32),
            (1_000, 10, 3, 1_110, 2_210, 4_212, 3, status.COMPLETED, 0),
            (3_000, 16, 9, 3_500, 5_000, NEVER, 2, status.RUNNING, 0),
            (4_000, 16, 9, NEVER, NEVER, NEVER, 0, status.WAITING, 0),
            (5_000, 900, 9, NEVER, NEVER, NEVER, 0, status.REFUSED_TOO_LONG, 0),
            (6_000, 9_000, 9, NEVER, NEVER, NEVER, 0, status.REFUSED_NEVER_FITS, 0),
            (7_000, 5, 9, NEVER, NEVER, NEVER, 0, status.REJECTED, 0),
            (9_999_999, 7, 9, NEVER, NEVER, NEVER, 0, status.NOT_ARRIVED, 0),
        ],
        gaps=(1_001, 1_001, 2_000, 2_000, 2_000, 3_000),
        end_us=10_000,
    )
