"""Busy time, requests in hand and the verdict, against a count by hand and against the engine's own steps."""

import numpy as np
import pytest
from helpers_outcomes import make_outcomes, served
from hypothesis import given, settings
from hypothesis import strategies as st

import blis
from blis.metrics.activity import activity, busy_share, busy_us, stability

MODEL = "meta-llama/llama-3.1-8b-instruct"


def row(queued, scheduled, finished):
    """A request that enters the queue at that time: queueing takes 100 µs and 1 µs per token (10)."""
    return (queued - 110, 10, 2, scheduled, scheduled, finished, 2, 3, 0)


spans = st.lists(
    st.tuples(st.integers(110, 900), st.integers(0, 100), st.integers(1, 100)).map(
        lambda parts: (parts[0], parts[0] + parts[1], sum(parts))
    ),
    min_size=1,
    max_size=20,
)


@given(spans)
@settings(deadline=None)
def test_busy_time_and_counts_equal_a_count_microsecond_by_microsecond(found):
    outcomes = make_outcomes([row(*span) for span in found], end_us=1200)
    running, waiting = np.zeros(1200), np.zeros(1200)
    for queued, scheduled, finished in found:
        waiting[queued:scheduled] += 1
        running[scheduled:finished] += 1
    assert busy_us(outcomes).tolist() == [np.count_nonzero(running + waiting)]
    assert busy_share(outcomes) == np.count_nonzero(running + waiting) / 1200
    counts = activity(outcomes, 4)
    assert counts.end_us.tolist() == [300, 600, 900, 1200]
    np.testing.assert_allclose(counts.running, running.reshape(4, 300).mean(axis=1), atol=1e-9)
    np.testing.assert_allclose(counts.waiting, waiting.reshape(4, 300).mean(axis=1), atol=1e-9)


@pytest.mark.parametrize(
    ("rate", "num_requests", "verdict"),
    [(10, 1000, "stable"), (200, 5000, "overloaded"), (50, 50, "too short to tell")],
)
def test_verdicts(rate, num_requests, verdict):
    outcomes = blis.simulate(MODEL, blis.DistributionWorkload(rate=rate, num_requests=num_requests))
    assert stability(outcomes) == verdict


def test_requests_that_come_all_at_once_tell_nothing():
    assert stability(make_outcomes([served(0, 1_000), served(0, 2_000)])) == "too short to tell"
    assert stability(make_outcomes([])) == "too short to tell"
    assert busy_share(make_outcomes([], end_us=0)) is None
