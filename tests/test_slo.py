"""Service classes and tenants: counts, attainment, fairness."""

import pytest
from helpers_outcomes import CLIENT_US, cluster_outcomes, make_outcomes, served, unserved
from hypothesis import given
from hypothesis import strategies as st

from blis._core.codes import RequestStatus
from blis.outcomes.metrics.fairness import jain_index, tenant_fairness
from blis.outcomes.metrics.slo import slo_class_figures


def test_figures_per_class_by_hand():
    figures = slo_class_figures(cluster_outcomes())
    assert list(figures) == ["batch", "default", "realtime"]
    batch, default, realtime = figures.values()
    assert list(batch) == list(default) == list(realtime)
    counts = ("requests", "completed", "rejected", "refused")
    assert [[block[key] for key in counts] for block in figures.values()] == [[2, 1, 0, 0], [2, 2, 0, 0], [1, 0, 1, 0]]
    assert batch["e2e_mean_ms"] == pytest.approx((4_000 + 2 * CLIENT_US) / 1_000)
    assert batch["ttft_mean_ms"] == pytest.approx((2_000 + 3_000 + 2 * CLIENT_US) / 2_000)
    assert batch["itl_mean_ms"] == pytest.approx((2_500 + CLIENT_US) / 1_000)
    assert default["itl_mean_ms"] == pytest.approx((3_001 + CLIENT_US) / 1_000)
    assert default["tpot_mean_ms"] == pytest.approx((3_001 + CLIENT_US) / 1_000)  # the other one has a single token
    assert realtime["e2e_mean_ms"] is realtime["itl_p99_ms"] is None
    assert {block["attainment"] for block in figures.values()} == {None}


def test_whatever_was_not_served_in_time_is_a_miss():
    status = RequestStatus
    rows = [
        served(0, 5_000),  # just in time
        served(0, 5_001),
        served(0, 9_000, status=status.COMPLETED),
        unserved(1, status.RUNNING),
        unserved(2, status.WAITING),
        unserved(3, status.REJECTED),
        unserved(4, status.REFUSED_TOO_LONG),
        unserved(5, status.REFUSED_NEVER_FITS),
        unserved(6, status.NOT_ARRIVED),
    ]
    figures = slo_class_figures(make_outcomes(rows, slo_class=["batch"] * 9), {"batch": 5_000})["batch"]
    assert (figures["requests"], figures["completed"], figures["rejected"], figures["refused"]) == (8, 3, 1, 2)
    assert figures["attainment"] == 1 / 8
    assert figures["target_e2e_ms"] == 5.0


def test_attainment_needs_a_target_and_requests_that_arrived():
    rows = [served(0, 5_000), unserved(9, RequestStatus.NOT_ARRIVED)]
    figures = slo_class_figures(make_outcomes(rows, slo_class=["a", "b"]), {"b": 1, "c": 1})
    assert {name: block["attainment"] for name, block in figures.items()} == {"a": None, "b": None, "c": None}
    assert {name: block["requests"] for name, block in figures.items()} == {"a": 1, "b": 0, "c": 0}


def test_a_class_called_default_is_the_same_as_none():
    outcomes = make_outcomes(
        [served(0, 5_000), served(0, 7_000)], slo_class=["default", None], gaps=[(0, -1, 10), (0, 3, 20)]
    )
    figures = slo_class_figures(outcomes, {"default": 5_000})
    assert list(figures) == ["default"]
    assert figures["default"]["attainment"] == 0.5
    assert figures["default"]["itl_mean_ms"] == (15 + CLIENT_US) / 1_000


def test_without_classes_there_is_nothing_to_say_unless_asked():
    outcomes = make_outcomes([served(0, 5_000)])
    assert slo_class_figures(outcomes) is None
    assert slo_class_figures(outcomes, {"default": 6_000})["default"]["attainment"] == 1.0


def test_jain_index_by_hand():
    assert jain_index([5, 5, 5]) == 1.0
    assert jain_index([7, 0, 0, 0]) == 0.25
    assert jain_index([1, 2, 3]) == 36 / (3 * 14)
    assert jain_index([]) is None
    assert jain_index([0, 0]) is None


@given(st.lists(st.integers(0, 2**45), min_size=1, max_size=50).filter(any))
def test_jain_index_lies_between_one_takes_all_and_all_alike(amounts):
    assert 1 / len(amounts) * (1 - 1e-12) <= jain_index(amounts) <= 1.0


def test_fairness_is_over_the_tokens_of_tenants_that_arrived():
    assert tenant_fairness(cluster_outcomes()) == (4 + 3 + 0) ** 2 / (3 * (16 + 9 + 0))  # b: 2 + 2, a: 3, c: none
    rows = [served(0, 5_000, tokens=2), unserved(1, RequestStatus.NOT_ARRIVED)]
    assert tenant_fairness(make_outcomes(rows, tenant=["a", "b"])) == 1.0


def test_fairness_of_nobody_or_nothing_is_unknown():
    waiting = unserved(1, RequestStatus.WAITING)
    assert tenant_fairness(make_outcomes([served(0, 5_000)])) is None
    assert tenant_fairness(make_outcomes([waiting, waiting], tenant=["a", "b"])) is None
