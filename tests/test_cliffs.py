"""Steps between percentiles that are too steep to rely on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.outcomes.metrics.cliffs import LEAST_MS, STEEP, Cliff, cliffs
from blis.outcomes.metrics.latency import PERCENTILES


def test_a_step_between_neighbours_is_a_cliff():
    assert cliffs({50: 12.0, 90: 17.0, 95: 19.0, 99: 170.0}) == (Cliff(95, 99, 19.0, 170.0),)


def test_an_exponential_tail_is_none():
    assert cliffs({p: -1e4 * np.log(1 - p / 100) for p in PERCENTILES}) == ()


@pytest.mark.parametrize("figures", [{}, {50: None, 90: None, 95: None, 99: None}, {95: 0.1, 99: 9.0}])
def test_nothing_or_too_little_is_none(figures):
    assert cliffs(figures) == ()


@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4).map(sorted))
def test_every_cliff_is_steep_and_high(values):
    found = cliffs(dict(zip(PERCENTILES, values, strict=True)))
    assert all(one.upper_ms >= STEEP * one.lower_ms and one.upper_ms >= one.lower_ms + LEAST_MS for one in found)
    assert [one.lower for one in found] == sorted(one.lower for one in found)
