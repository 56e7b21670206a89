"""Scores, reasons, summaries, samples and rows of decisions, on chunks made by hand."""

import math

import numpy as np
import pytest
from helpers_trace import ADMISSION, ROUTING, chunk_of, control_by_name

from blis._core.codes import ViewColumn
from blis.outcomes.decisions import comparing
from blis.outcomes.decisions.reasons import Reasons
from blis.outcomes.decisions.rows import DecisionRows
from blis.outcomes.decisions.samples import RegretSamples, Sample
from blis.outcomes.decisions.summary import TraceSummary

NAN, INF = math.nan, math.inf


def test_scores_are_the_policys_or_by_load():
    chunk = chunk_of(
        (ROUTING, 0, 0, 1, [1, 2, 3], [4, 4, 0], [0.5, 0.25, 0.0]),
        (ROUTING, 1, 0, 1, [1, 2, 3], [4, 4, 0]),
        (ROUTING, 2, 0, 1, [1, 2, 3], [4, 4, 0], [NAN, 2.0, NAN]),
        (ADMISSION, 3, 0, 1, [1, 2, 3], [4, 4, 0], [0.5, 0.25, 0.0]),  # left there by the decision before
    )
    chunk.columns[:, ViewColumn.PENDING_REQUESTS, 2] = 7
    assert comparing.comparable_scores(chunk).tolist() == [
        [0.5, 0.25, 0.0],
        [-5, -6, -10],
        [-INF, 2.0, -INF],
        [-5, -6, -10],
    ]


def test_regret_is_the_distance_to_the_best():
    scores = np.array([[0.5, 0.25, 0.0], [-5, -3, -10], [-INF, 2.0, 1.0], [INF, INF, 0.0]])
    regret = comparing.regrets(scores, np.array([0, 2, 0, 1]))
    assert regret[:2].tolist() == [0.0, 7.0]
    assert np.isnan(regret[2:]).all()


def test_the_best_come_first_and_equal_ones_by_index():
    scores = np.array([[0.0, 1.0, 1.0], [2.0, 1.0, 3.0], [-INF, -1.0, -1.0]])
    assert comparing.best_first(scores, 2).tolist() == [[1, 2], [2, 0], [1, 2]]
    assert comparing.best_first(scores, 9).shape == (3, 3)
    assert comparing.best_other(scores, np.array([1, 0, 0])).tolist() == [2, 2, 1]


def test_summary_adds_up_over_chunks():
    summary = TraceSummary(12)
    summary.add(chunk_of((ADMISSION, 0, 0, 1), (ROUTING, 0, 0, 10), (ADMISSION, 1, 0, 0)).decisions, np.array([3.0]))
    summary.add(chunk_of((ADMISSION, 2, 0, 1), (ROUTING, 2, 0, 2)).decisions, np.array([0.0]))
    summary.add(chunk_of((ADMISSION, 3, 0, 1), (ROUTING, 3, 0, 2)).decisions, np.array([NAN]))
    values = summary.values()
    assert values == {
        "total_decisions": 4,
        "admitted": 3,
        "rejected": 1,
        "unique_targets": 2,
        "target_distribution": {"instance_2": 2, "instance_10": 1},
        "mean_regret": 1.5,
        "max_regret": 3.0,
    }
    assert list(values["target_distribution"]) == ["instance_2", "instance_10"]


def test_nothing_to_regret_is_null():
    summary = TraceSummary(1)
    summary.add(chunk_of((ADMISSION, 0, 0, 1), (ROUTING, 0, 0, 0), instances=1).decisions, None)
    assert (summary.values()["mean_regret"], summary.values()["max_regret"]) == (None, None)


@pytest.mark.parametrize(
    ("policy", "reasons"),
    [
        ("round-robin", ["round-robin[0]", "round-robin[1]"]),
        ("least-loaded", ["least-loaded (load=5)", "least-loaded (load=3)"]),
        ("always-busiest", ["always-busiest (load=5)", "always-busiest (load=3)"]),
        ("weighted", ["weighted-scoring (score=0.123)", "weighted-scoring (score=7.000)"]),
        ("prefix-affinity", ["prefix-affinity (cache-hit)", "prefix-affinity (cache-miss, fallback to least-loaded)"]),
        ("nearest (policy.py:3)", ["nearest (policy.py:3)"] * 2),
    ],
)
def test_reasons_of_routing(policy, reasons):
    chunk = chunk_of(
        (ROUTING, 0, 0, 1, [1, 2, 3], [4, 3, 0], [0.5, 0.1234, 0.0]),
        (ADMISSION, 1, 0, 1),
        (ROUTING, 1, 0, 2, [1, 2, 3], [4, 4, 0], [0.5, 0.1234, 7.0]),
    )
    chunk.columns[2, ViewColumn.PREFIX_BLOCKS] = 0
    assert Reasons(control_by_name("always-admit", policy)).of(chunk).tolist() == [reasons[0], "", reasons[1]]


def test_turns_are_counted_over_chunks():
    reasons = Reasons(control_by_name("always-admit", "round-robin"))
    texts = [reasons.of(chunk_of((ROUTING, row, 0, row % 3))).tolist() for row in range(3)]
    assert texts == [["round-robin[0]"], ["round-robin[1]"], ["round-robin[2]"]]


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("token-bucket", "insufficient tokens"),
        ("reject-all", "reject-all"),
        ("mine (policy.py:3)", "mine (policy.py:3)"),
    ],
)
def test_reasons_of_admission(policy, reason):
    chunk = chunk_of((ADMISSION, 0, 0, 1), (ADMISSION, 1, 0, 0))
    assert Reasons(control_by_name(policy, "round-robin")).of(chunk).tolist() == ["", reason]


def rows_of(chunk, most, *, reads=("prefix_blocks",)):
    rows = DecisionRows(control_by_name("always-admit", "mine (p.py:1)", reads=reads), most)
    scores = comparing.comparable_scores(chunk) if most else None
    return rows.table(chunk, scores, np.array([NAN, 0.5]) if most else None)


def test_a_row_tells_of_all_instances_or_of_the_best():
    chunk = chunk_of((ADMISSION, 7, 40, 1, [3, 0, 1]), (ROUTING, 7, 50, 2, None, None, [0.5, NAN, 1.0]))
    admission, routing = rows_of(chunk, 0).to_pylist()
    assert {**admission, "candidates": None} == {
        "kind": "admission",
        "request_id": "request_7",
        "clock_us": 40,
        "admitted": True,
        "instance_id": None,
        "reason": "",
        "regret": None,
        "candidates": None,
    }
    assert [one["queue_depth"] for one in admission["candidates"]] == [3, 0, 1]
    assert (routing["admitted"], routing["instance_id"], routing["regret"]) == (None, "instance_2", None)
    assert [one["instance_id"] for one in routing["candidates"]] == ["instance_0", "instance_1", "instance_2"]
    assert [one["score"] for one in routing["candidates"]] == [0.5, None, 1.0]
    assert routing["candidates"][1] == {
        "instance_id": "instance_1",
        "score": None,
        "queue_depth": 1,
        "batch_size": 101,
        "pending_requests": 0,
        "kv_utilization": 0.1,
        "free_kv_blocks": 301,
        "prefix_blocks": 401,
        "cached_blocks": None,  # no policy reads it
        "cache_hit_rate": 1.1,
    }

    admission, routing = rows_of(chunk, 2).to_pylist()
    by_load = ["instance_1", "instance_0"]  # 101 and 103 requests
    assert [one["instance_id"] for one in admission["candidates"]] == by_load
    assert [one["instance_id"] for one in routing["candidates"]] == ["instance_2", "instance_0"]
    assert routing["regret"] == 0.5


@pytest.mark.parametrize("most", [0, 2])
def test_rows_do_not_share_the_engines_memory(most):
    chunk = chunk_of((ADMISSION, 7, 40, 1), (ROUTING, 7, 50, 2))
    rows = rows_of(chunk, most)
    before = rows.to_pylist()
    for part in chunk:
        part[:] = 0
    assert rows.to_pylist() == before


def test_samples_do_not_depend_on_chunks_and_grow_with_their_number():
    decisions = [(kind, row, 10 * row, row % 3) for row in range(200) for kind in (ADMISSION, ROUTING)]

    def drawn(most, size, seed=1):
        samples = RegretSamples(seed, 200, most)
        for start in range(0, len(decisions), size):
            samples.add(chunk_of(*decisions[start : start + size]))
        return samples.drawn()

    ten = drawn(10, 7)
    assert len(set(ten)) == 10
    assert all(sample == (row := sample.request, 10 * row, row % 3, 1 if row % 3 == 0 else 0) for sample in ten)
    assert drawn(10, 400) == ten
    assert drawn(4, 31) == ten[:4]
    assert len(drawn(999, 50)) == 200
    assert drawn(10, 400, seed=2) != ten


def test_rejected_requests_are_no_samples():
    samples = RegretSamples(0, 5, 5)
    samples.add(chunk_of((ADMISSION, 0, 0, 0), (ADMISSION, 1, 3, 1), (ROUTING, 1, 4, 0)))
    assert samples.drawn() == [Sample(1, 4, 0, 1)]
