"""Arrivals in phases: the right law of gaps, and the right rate in every phase from its first moment on."""

import math

import numpy as np
import pytest
from helpers_spec import ks_bound, ks_distance

from blis.workload.renewal import Phase, arrivals_us, weibull_shape
from blis.workload.rng import stream

RNG = "a client"
SECOND = 1_000_000


def draw(*phases, until_us=10**15, seed=3):
    return arrivals_us(phases, until_us, stream(seed, RNG))


@pytest.mark.parametrize(
    ("process", "cv"), [("poisson", 1.0), ("gamma", 0.3), ("gamma", 2.5), ("weibull", 0.5), ("weibull", 3.0)]
)
def test_gaps_have_the_mean_and_the_cv_asked_for(process, cv):
    gaps = np.diff(draw(Phase(0, 20_000 * SECOND, 10.0, process, cv)))
    assert gaps.mean() == pytest.approx(100_000, rel=4 * cv / math.sqrt(len(gaps)))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


def test_the_law_of_gaps():
    poisson = np.diff(draw(Phase(0, 5000 * SECOND, 1.0, "poisson"))) / SECOND
    assert ks_distance(poisson, lambda x: -math.expm1(-x)) < ks_bound(len(poisson))
    weibull = np.diff(draw(Phase(0, 5000 * SECOND, 1.0, "weibull", 2.0))) / SECOND
    k = weibull_shape(2.0)
    scale = 1 / math.gamma(1 + 1 / k)
    assert ks_distance(weibull, lambda x: -math.expm1(-((x / scale) ** k))) < ks_bound(len(weibull))
    assert ks_distance(weibull, lambda x: -math.expm1(-x)) > 2 * ks_bound(len(weibull))
    erlang = np.diff(draw(Phase(0, 5000 * SECOND, 1.0, "gamma", math.sqrt(0.5)))) / SECOND  # gamma of shape 2
    assert ks_distance(erlang, lambda x: 1 - math.exp(-2 * x) * (1 + 2 * x)) < ks_bound(len(erlang))


@pytest.mark.parametrize("cv", [0.01, 0.5, 1.0, 3.5, 10.4, 130.0])
def test_weibull_shapes(cv):
    k = weibull_shape(cv)
    squared = math.exp(math.lgamma(1 + 2 / k) - 2 * math.lgamma(1 + 1 / k)) - 1
    assert math.sqrt(squared) == pytest.approx(cv, rel=1e-3)
    assert weibull_shape(1.0) == pytest.approx(1.0)


def test_constant_arrivals_are_even_and_do_not_drift():
    times = draw(Phase(5, 3_000_000 * SECOND, 3.0, "constant"))
    assert times[:4].tolist() == [5, 333_338, 666_672, 1_000_005]
    assert times[3_000_000] == 1_000_000 * SECOND + 5


@pytest.mark.parametrize(("process", "cv"), [("gamma", 4.0), ("weibull", 4.0), ("gamma", 0.2), ("poisson", 1.0)])
def test_short_bursty_phases_keep_their_rate_from_the_first_moment_on(process, cv):
    """A plain renewal process that begins with a whole gap would have (cv² - 1) / 2 too many: 7.5 beside 20."""
    counts = [len(draw(Phase(0, 2 * SECOND, 10.0, process, cv), seed=seed)) for seed in range(3000)]
    error = np.std(counts) / math.sqrt(len(counts))
    assert abs(np.mean(counts) - 20) < 4 * error
    assert error < 0.5


def test_phases_keep_to_their_time():
    times = draw(
        Phase(0, SECOND, 1000.0, "poisson"),
        Phase(3 * SECOND, 4 * SECOND, 100.0, "gamma", 2.0),
        Phase(4 * SECOND, 5 * SECOND, 1000.0, "constant"),
    )
    assert (np.diff(times) >= 0).all()
    counts = np.histogram(times, np.arange(7) * SECOND)[0]
    assert counts[[1, 2, 5]].tolist() == [0, 0, 0]
    assert counts[4] == 1000
    assert counts[0] == pytest.approx(1000, abs=130)
    assert counts[3] > 0


def test_a_shorter_look_is_the_beginning_of_a_longer_one():
    phases = (Phase(0, 10 * SECOND, 50.0, "weibull", 2.0), Phase(10 * SECOND, 10**12, 20.0, "gamma", 3.0))
    long = draw(*phases, until_us=1000 * SECOND)
    for until in (0, 1, SECOND, 10 * SECOND, 10 * SECOND + 1, 300 * SECOND):
        assert np.array_equal(draw(*phases, until_us=until), long[long < until])
