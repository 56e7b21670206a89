"""Figures per tenant, quantiles for curves, and which requests were overtaken."""

import numpy as np
import pytest
from helpers_outcomes import cluster_outcomes, ints, make_outcomes, mixed_outcomes, served
from hypothesis import given
from hypothesis import strategies as st

from blis.outcomes.metrics.anomalies import overtaken, priority_inversions
from blis.outcomes.metrics.quantiles import histogram_quantiles_ms, quantiles_ms
from blis.outcomes.metrics.slo import attained, slo_class_figures
from blis.outcomes.metrics.tenants import tenant_figures
from blis.outcomes.outcomes import ItlHistogram


def test_tenants_by_hand():
    rows = {row["tenant"]: row for row in tenant_figures(cluster_outcomes(), {"batch": 5}).to_dicts()}
    assert list(rows) == ["b", "a", "c", "none given"]  # two requests, then by name
    assert (rows["b"]["requests"], rows["b"]["completed"], rows["b"]["output_tokens"]) == (2, 1, 4)
    assert rows["b"]["e2e_p50_ms"] == pytest.approx((4000 + 2 * 12) / 1000)
    assert rows["b"]["attainment"] == 0  # of its class, batch, nobody was done within 5 µs
    assert rows["a"]["attainment"] is None  # of no class, which has no target
    assert rows["c"]["e2e_p99_ms"] is None


def test_no_tenants_no_figures():
    assert tenant_figures(mixed_outcomes()) is None


@given(st.dictionaries(st.sampled_from(["batch", "realtime", "default"]), st.integers(0, 10_000), min_size=1))
def test_attainment_of_requests_is_that_of_their_classes(targets_us):
    outcomes = cluster_outcomes()
    has_target, met = attained(outcomes, targets_us)
    classes = slo_class_figures(outcomes, targets_us)
    targeted = {name: figures for name, figures in classes.items() if figures["target_e2e_ms"] is not None}
    assert has_target.sum() == sum(figures["requests"] for figures in targeted.values())
    assert met.sum() == sum(round((figures["attainment"] or 0) * figures["requests"]) for figures in targeted.values())


def test_quantiles_of_a_histogram_are_values_of_it():
    gaps = ItlHistogram(ints(1000, 2000, 5000), ints(8, 1, 1))
    shares = np.array([0, 0.5, 0.8, 0.9, 1])
    assert histogram_quantiles_ms(gaps, shares).tolist() == [1, 1, 1, 2, 5]
    assert quantiles_ms(ints(1000, 3000), np.array([0, 0.5, 1])).tolist() == [1, 2, 3]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(20, 200)), max_size=30))
def test_overtaken_requests_are_the_earlier_ones_of_inverted_pairs(requests):
    outcomes = make_outcomes([served(arrival, e2e) for arrival, e2e in requests])
    earlier = [any(a < b and e > 2 * f for b, f in requests) for a, e in requests]
    assert overtaken(outcomes).tolist() == earlier
    assert (priority_inversions(outcomes) > 0) == any(earlier)
