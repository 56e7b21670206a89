"""Priority inversions, head-of-line blocking and rejections."""

import numpy as np
import pytest
from helpers_outcomes import cluster_outcomes, ints, make_outcomes, served, unserved
from hypothesis import example, given
from hypothesis import strategies as st

from blis._core.codes import RequestStatus
from blis.outcomes.metrics.anomalies import anomalies, count_inversions, hol_blocking_events, priority_inversions

#: (arrival, end to end)
PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 20)), max_size=40)


def by_definition(pairs):
    return sum(earlier < later and slow > 2 * fast for earlier, slow in pairs for later, fast in pairs)


@given(PAIRS)
@example([(0, 3), (1, 1)])
@example([(0, 2), (1, 1)])
@example([(0, 3), (0, 1)])
def test_inversions_are_those_of_the_definition(pairs):
    arrival, e2e = (ints(*column) for column in zip(*pairs, strict=True)) if pairs else (ints(), ints())
    assert count_inversions(arrival, e2e) == by_definition(pairs)


def test_thousands_of_inversions_are_counted_exactly():
    rng = np.random.default_rng(2)
    arrival, e2e = rng.integers(0, 2_000, 3_000), rng.integers(1_000, 10_000_000, 3_000)
    pairs = (arrival[:, None] < arrival) & (e2e[:, None] > 2 * e2e)
    assert count_inversions(arrival, e2e) == np.count_nonzero(pairs)


def test_inversions_count_within_one_instance_and_one_class():
    rows = [served(arrival, e2e) for arrival, e2e in ((0, 9_000), (1, 4_000), (2, 1_000))]
    assert priority_inversions(make_outcomes(rows)) == 3
    assert priority_inversions(make_outcomes(rows, slo_class=["a", "b", "a"])) == 1
    assert priority_inversions(make_outcomes(rows, slo_class=["a", None, None])) == 1
    apart = make_outcomes(rows, instance=[0, 1, 1], instances=[(9, 1, 1, 0)] * 2)
    assert priority_inversions(apart) == 1
    assert priority_inversions(make_outcomes([rows[0], unserved(1, RequestStatus.RUNNING)])) == 0
    assert priority_inversions(make_outcomes([])) == 0


@pytest.mark.parametrize(
    ("engine", "counted"),
    [
        ({"scheduler": "priority-fcfs", "priority_policy": "constant", "scheduling_policy": "fcfs"}, 0),
        ({"scheduler": "priority-fcfs", "priority_policy": "slo-based", "scheduling_policy": "fcfs"}, 1),
        ({"scheduler": "fcfs", "priority_policy": "constant", "scheduling_policy": "priority"}, 1),
        (None, 0),
    ],
)
def test_inversions_mean_something_only_under_priorities(engine, counted):
    metadata = {"engine": engine} if engine else {"seed": 1}
    outcomes = make_outcomes([served(0, 9_000), served(1, 1_000)], metadata=metadata)
    assert anomalies(outcomes)["priority_inversions"] == counted
    assert anomalies(outcomes, under_constant_priority=True)["priority_inversions"] == 1


@pytest.mark.parametrize(
    ("queues", "events"),
    [
        ([(4, 100)], 0),  # nobody to compare with
        ([(4, 100), (4, 4)], 1),  # means 25 and 1
        ([(4, 8), (4, 4)], 0),  # 2 is not more than twice 1
        ([(4, 9), (4, 4)], 1),
        ([(4, 4), (0, 0)], 0),  # 1 is a short queue
        ([(4, 5), (0, 0)], 1),  # an instance without steps has no queue
        ([(4, 40), (4, 40), (4, 0), (4, 0)], 2),  # 10 against (10 + 0 + 0) / 3
        ([(4, 40), (4, 40), (4, 40)], 0),
    ],
)
def test_a_queue_blocks_if_it_is_far_longer_than_the_others(queues, events):
    instances = [(9, steps, 1, waiting) for steps, waiting in queues]
    assert hol_blocking_events(make_outcomes([], instances=instances)) == events


def test_all_anomalies_of_a_cluster():
    assert anomalies(cluster_outcomes()) == {
        "priority_inversions": 0,
        "hol_blocking_events": 1,  # 20 waiting in 5 steps, and none
        "rejected_requests": 1,
    }
