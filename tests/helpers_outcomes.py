"""Outcomes made by hand, for tests that need no engine."""

import numpy as np

from blis._core.codes import NEVER, RequestStatus
from blis.latency.law import LatencyModel
from blis.outcomes.outcomes import Outcomes
from blis.simulation.result import EngineResult, InstanceFigures
from blis.workload.labels import SLO_CLASSES, labels
from blis.workload.requests import RequestTable

#: Client-side cost per output token: trunc(12.9).
ALPHA = (100.0, 1.0, 12.9)
CLIENT_US = 12


def ints(*values):
    return np.array(values, dtype=np.int64)


#: Statuses of requests that were sent to an instance.
ROUTED = (RequestStatus.WAITING, RequestStatus.RUNNING, RequestStatus.COMPLETED)


def make_outcomes(
    rows,
    *,
    gaps=(),
    end_us=1_000_000,
    interrupted=False,
    peak=5,
    usable=99,
    metadata=None,
    instance=None,
    instances=None,
    slo_class=(),
    tenant=(),
):
    """Outcomes of rows (arrival, input, output, scheduled, first token, finished, produced, status, cached).

    Gaps are µs, or (instance, class code, µs). Instances are rows (end, steps, peak, queue length sum); one if none
    are given. ``instance``, ``slo_class`` and ``tenant`` have one value per row.
    """
    columns = [ints(*column) for column in zip(*rows, strict=True)] or [ints()] * 9
    arrival, inputs, outputs, scheduled, first, finished, produced, status, cached = columns
    long = ints(*((0, -1, gap) if isinstance(gap, int) else gap for gap in gaps)).reshape(-1, 3)
    triples, counts = np.unique(long, axis=0, return_counts=True)
    if instance is None:
        instance = np.where(np.isin(status, ROUTED), 0, -1)
    figures = zip(*(instances or [(end_us, 7, peak, 0)]), strict=True)
    result = EngineResult(
        arrival_us=arrival,
        enqueued_us=np.where(scheduled >= 0, arrival + 100 + inputs, NEVER),
        first_scheduled_us=scheduled,
        first_started_us=scheduled,
        first_token_us=first,
        finished_us=finished,
        produced_tokens=produced,
        cached_tokens=cached,
        num_preemptions=(status == RequestStatus.WAITING).astype(np.int64),
        status=status,
        instance=ints(*instance),
        end_us=end_us,
        usable_blocks=usable,
        itl_instance=triples[:, 0],
        itl_class=triples[:, 1],
        itl_values_us=triples[:, 2],
        itl_counts=counts,
        instances=InstanceFigures(*(ints(*column) for column in figures)),
        interrupted=interrupted,
    )
    latency = LatencyModel("blackbox", ALPHA, lambda: None, np.zeros(3))
    names = {"slo_class": labels(slo_class, SLO_CLASSES), "tenant": labels(tenant)}
    return Outcomes.of(RequestTable(arrival, inputs, outputs, **names), result, latency, metadata or {"seed": 42})


def served(arrival_us, e2e_us, *, tokens=1, status=RequestStatus.COMPLETED):
    """A row of a request that was scheduled at once and got its tokens in the end, ``e2e_us`` for the client."""
    finished = arrival_us + e2e_us - tokens * CLIENT_US
    return (arrival_us, 10, tokens, arrival_us, finished, finished, tokens, status, 0)


def unserved(arrival_us, status):
    """A row of a request that got nothing."""
    return (arrival_us, 10, 5, NEVER, NEVER, NEVER, 0, status, 0)


def cluster_outcomes():
    """Two instances, two classes and a request without one, three tenants; the last request went nowhere."""
    status = RequestStatus
    return make_outcomes(
        [
            # arrival, input, output, scheduled, first, finished, produced, status, cached
            (0, 64, 2, 500, 2_000, 4_000, 2, status.COMPLETED, 32),
            (1_000, 10, 3, 1_110, 2_210, 8_212, 3, status.COMPLETED, 0),
            (2_000, 16, 9, 3_500, 5_000, NEVER, 2, status.RUNNING, 0),
            (3_000, 16, 1, 4_000, 9_000, 9_000, 1, status.COMPLETED, 0),
            (4_000, 5, 9, NEVER, NEVER, NEVER, 0, status.REJECTED, 0),
        ],
        gaps=[(0, 2, 2_000), (0, 2, 3_000), (1, -1, 3_000), (1, -1, 3_002)],
        end_us=10_000,
        instance=(0, 1, 0, 1, NEVER),
        instances=[(5_000, 4, 9, 0), (10_000, 5, 3, 20)],
        slo_class=("batch", None, "batch", "", "realtime"),
        tenant=("b", "a", "b", None, "c"),
    )


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
