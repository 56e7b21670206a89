"""Distributions of lengths: drawn as described, clamped, never infinite."""

import math

import numpy as np
import pytest
from helpers_spec import ks_bound, ks_distance

from blis.workload.lengths import (
    Constant,
    Empirical,
    Exponential,
    Gaussian,
    Lengths,
    LogNormal,
    ParetoLogNormal,
)
from blis.workload.rng import stream

COUNT = 20_000


def normal_cdf(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


def mixed_cdf(x):
    pareto = 1 - (100 / x) ** 1.5 if x > 100 else 0.0
    return 0.3 * pareto + 0.7 * normal_cdf((math.log(x) - 5.0) / 0.5)


@pytest.mark.parametrize(
    ("distribution", "cdf"),
    [
        (Gaussian(500.0, 100.0), lambda x: normal_cdf((x - 500) / 100)),
        (Exponential(300.0), lambda x: -math.expm1(-x / 300)),
        (LogNormal(5.0, 0.5), lambda x: normal_cdf((math.log(x) - 5) / 0.5)),
        (ParetoLogNormal(1.5, 100.0, 5.0, 0.5, 0.3), mixed_cdf),
    ],
)
def test_continuous_distributions(distribution, cdf):
    assert ks_distance(distribution.draw(stream(1, "x"), COUNT), cdf) < ks_bound(COUNT)


def test_empirical_weights_need_not_add_up():
    drawn = Empirical((10.0, 20.0, 30.0, 40.0), (1.0, 0.0, 3.0, 0.0)).draw(stream(1, "x"), COUNT)
    assert set(drawn) == {10.0, 30.0}
    assert (drawn == 10).mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / COUNT))


def test_draws_are_rounded_and_clamped():
    assert Lengths(Constant(2.5), 1, 9).draw(stream(1, "x"), 2).tolist() == [3, 3]
    drawn = Lengths(Gaussian(5.0, 10.0), 2, 8).draw(stream(1, "x"), 1000)
    assert set(drawn) == {2, 3, 4, 5, 6, 7, 8}
    assert drawn.dtype == np.int64


def test_monstrous_parameters_stay_within_bounds():
    for monster in (LogNormal(700.0, 100.0), ParetoLogNormal(0.001, 1.0, 0.0, 1.0, 1.0)):
        drawn = Lengths(monster, 1, 1000).draw(stream(1, "x"), 1000)
        assert (drawn.min(), drawn.max()) == (1, 1000) or set(drawn) == {1000}


@pytest.mark.parametrize(
    "distribution",
    [Gaussian(5, 2), Exponential(9), LogNormal(1, 1), ParetoLogNormal(1, 1, 1, 1, 0.5), Empirical((1, 2), (1, 1))],
)
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(distribution):
    long = distribution.draw(stream(1, "x"), 1000)
    assert np.array_equal(distribution.draw(stream(1, "x"), 10), long[:10])
