"""Arrival processes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.errors import ConfigError
from blis.workload import arrivals
from blis.workload.arrivals import arrival_times_us
from blis.workload.rng import stream


def times(process, rate, n, **options):
    return arrival_times_us(process, rate, n, stream(3, "arrivals"), **options)


def test_constant_arrivals_start_at_zero_and_do_not_drift():
    # Truncating each gap, as 1 / (rate / 1e6) invites to, would give 99 999 µs at 10 requests per second.
    assert times("constant", 10.0, 4).tolist() == [0, 100_000, 200_000, 300_000]
    thirds = times("constant", 3.0, 300_001)
    assert thirds[:4].tolist() == [0, 333_333, 666_667, 1_000_000]
    assert thirds[-1] == 100_000_000_000


@pytest.mark.parametrize(
    ("process", "cv", "expected_cv"),
    [("poisson", None, 1.0), ("gamma", None, 1.0), ("gamma", 0.3, 0.3), ("gamma", 3.5, 3.5)],
)
def test_gaps_have_the_mean_and_variation_asked_for(process, cv, expected_cv):
    gaps = np.diff(times(process, 20.0, 200_000, cv=cv))
    assert gaps.mean() == pytest.approx(50_000, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(expected_cv, rel=0.03)


def test_poisson_gaps_are_exponential():
    # P(gap > t) = exp(-rate t)
    gaps = np.diff(times("poisson", 1.0, 200_000))
    for t in (0.1, 1.0, 3.0):
        assert (gaps > t * 1e6).mean() == pytest.approx(np.exp(-t), abs=0.005)


@pytest.mark.parametrize("process", ["poisson", "gamma"])
def test_the_first_random_arrival_is_the_first_gap(process):
    assert times(process, 0.5, 1)[0] > 0


@given(
    st.sampled_from(["poisson", "gamma", "constant"]),
    st.floats(1e-3, 1e7),
    st.integers(1, 50),
    st.integers(0, 10**9),
)
def test_arrivals_ascend_and_a_horizon_only_cuts(process, rate, n, horizon_us):
    every = times(process, rate, n)
    assert len(every) == n
    assert (np.diff(every) >= 0).all()
    assert times(process, rate, n, horizon_us=horizon_us).tolist() == every[every <= horizon_us].tolist()


@pytest.mark.parametrize("process", ["poisson", "gamma", "constant"])
def test_chunks_do_not_show(monkeypatch, process):
    whole = times(process, 7.0, 1000)
    monkeypatch.setattr(arrivals, "_CHUNK", 7)
    assert times(process, 7.0, 1000).tolist() == whole.tolist()


def test_a_horizon_bounds_the_work(monkeypatch):
    monkeypatch.setattr(arrivals, "_CHUNK", 100)
    assert 900 < len(times("poisson", 1.0, 10**12, horizon_us=1_000_000_000)) < 1100


def test_arrivals_beyond_the_clock_are_refused():
    with pytest.raises(ConfigError, match="rate: 1e-12 requests per second puts arrivals beyond the clock's end"):
        times("constant", 1e-12, 100)
    assert times("constant", 1e-12, 100, horizon_us=10).tolist() == [0]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e-300])
def test_a_useless_rate_is_refused(rate):
    with pytest.raises(ConfigError, match="rate: must be a positive number of requests per second"):
        times("poisson", rate, 1)


@pytest.mark.parametrize("cv", [0.0, -1.0, float("nan"), float("inf"), 1e-9, 1e6])
def test_a_useless_coefficient_of_variation_is_refused(cv):
    with pytest.raises(ConfigError, match=r"arrival_cv: must lie in \[0.001, 1000\], got"):
        times("gamma", 1.0, 1, cv=cv)


def test_other_processes_have_no_coefficient_of_variation():
    with pytest.raises(ConfigError, match=r"arrival_cv: only gamma arrivals have one, got 2.0 for poisson"):
        times("poisson", 1.0, 1, cv=2.0)


def test_an_unknown_process_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="arrival: unknown process 'poison'; did you mean 'poisson'"):
        times("poison", 1.0, 1)
