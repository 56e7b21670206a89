"""Busy time and requests in hand, against a count by hand and against the engine's own steps."""

import numpy as np
from helpers_outcomes import make_outcomes
from hypothesis import given
from hypothesis import strategies as st

from blis.outcomes.metrics.activity import activity, busy_share, busy_us


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


def test_a_run_without_length_is_not_busy():
    assert busy_share(make_outcomes([], end_us=0)) is None
