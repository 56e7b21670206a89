"""Intervals hold what they promise on queues whose means and quantiles are known."""

import math

import numpy as np
import pytest
import scipy.special
from helpers_queues import deterministic, mean_wait, two_kinds, waits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blis.errors import InputError
from blis.outcomes.statistics import student
from blis.outcomes.statistics.estimates import batch_means, batch_quantile, replications, warm_up_of
from blis.outcomes.statistics.paired import paired_quantiles
from blis.outcomes.statistics.warm_up import mser5

series_of_numbers = arrays(np.float64, st.integers(1, 400), elements=st.floats(-1e6, 1e6))


@given(series_of_numbers, st.floats(0.5, 0.99))
def test_the_mean_lies_within_its_interval(values, confidence):
    estimate = batch_means(values, confidence)
    assert estimate.low <= estimate.mean <= estimate.high
    assert estimate.mean == values[estimate.warm_up :].mean()
    assert 0 <= estimate.warm_up <= len(values) / 2
    assert 0 < estimate.effective_sample_size <= len(values)
    assert 1 <= estimate.num_batches <= len(values)


@given(series_of_numbers, st.floats(0.01, 0.99))
def test_a_quantile_lies_within_its_interval(values, probability):
    estimate = batch_quantile(values, probability, warm_up=0)
    assert estimate.mean == np.quantile(values, probability)
    assert estimate.low <= estimate.mean <= estimate.high


@given(series_of_numbers, st.floats(0.1, 50), st.floats(-100, 100))
def test_units_do_not_matter(values, scale, shift):
    plain, other = batch_means(values, warm_up=0), batch_means(values * scale + shift, warm_up=0)
    tolerance = 1e-6 * (np.abs(values).max() * scale + abs(shift) + 1)
    if math.isfinite(plain.low) and plain.num_batches == other.num_batches:
        assert other.low == pytest.approx(plain.low * scale + shift, abs=tolerance)
        assert other.high == pytest.approx(plain.high * scale + shift, abs=tolerance)


def test_one_value_bounds_nothing():
    for estimate in (batch_means([3.0]), replications([3.0])):
        assert (estimate.low, estimate.mean, estimate.high) == (-math.inf, 3.0, math.inf)
    assert batch_quantile([3.0], 0.5).high == math.inf


def test_a_constant_series_is_known_exactly():
    estimate = batch_means(np.full(1_000, 7.0))
    assert (estimate.low, estimate.high, estimate.effective_sample_size) == (7.0, 7.0, 1_000)


def test_replications_are_students_t():
    """t of 4 degrees of freedom at 97.5 % is 2.776445 (any table); deviation of 1 to 5 is sqrt(2.5)."""
    estimate = replications([1, 2, 3, 4, 5])
    assert estimate.mean == 3
    assert estimate.high - 3 == pytest.approx(2.776445 * math.sqrt(2.5 / 5))
    assert estimate.low + estimate.high == pytest.approx(6)


def test_independent_values_count_fully_and_correlated_ones_do_not():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=100_000)
    assert batch_means(noise).effective_sample_size > 80_000
    ar1 = np.empty(100_000)
    ar1[0] = noise[0]
    for i in range(1, len(ar1)):
        ar1[i] = 0.9 * ar1[i - 1] + noise[i]
    # an AR(1) of coefficient c is worth (1 - c) / (1 + c) of its length
    assert batch_means(ar1, warm_up=0).effective_sample_size == pytest.approx(100_000 * 0.1 / 1.9, rel=0.3)


def test_mser_by_hand():
    """The rule written out: all cuts up to a half, the least squared error over the square of what is left."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=300) + 10 * np.exp(-np.arange(300) / 20)
    means = values.reshape(-1, 5).mean(axis=1)
    scores = [((means[d:] - means[d:].mean()) ** 2).sum() / (60 - d) ** 2 for d in range(31)]
    assert mser5(values) == 5 * int(np.argmin(scores)) > 0


def test_a_warm_up_is_cut_off_and_an_excursion_is_not():
    rng = np.random.default_rng(3)
    ramp = np.minimum(np.arange(5_000) / 1_000, 1) * 10 + rng.normal(size=5_000)
    assert 700 < warm_up_of(ramp) < 1_300
    assert batch_means(ramp).mean == pytest.approx(10, abs=0.2)
    stationary = rng.normal(size=5_000)
    assert warm_up_of(stationary) == 0
    assert mser5(np.arange(49)) == warm_up_of(np.arange(49)) == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: batch_means([]), r"at least one, got the shape \(0,\)"),
        (lambda: batch_means([[1.0]]), r"shape \(1, 1\)"),
        (lambda: batch_means([1.0, math.nan]), "finite, got nan"),
        (lambda: batch_means([1.0], 1.0), "confidence must be above 0 and below 1, got 1.0"),
        (lambda: batch_means([1.0], warm_up=1), "warm_up must leave one of 1 observations at least, got 1"),
        (lambda: batch_quantile([1.0], 1.5), "probability must be above 0 and below 1, got 1.5"),
        (lambda: replications([]), "at least one"),
        (lambda: paired_quantiles([1.0], [1.0, 2.0], 0.5), "one length"),
    ],
)
def test_bad_input_says_what_would_be_right(call, says):
    with pytest.raises(InputError, match=says):
        call()


def share_covered(trials, seed, one):
    rng = np.random.default_rng(seed)
    return np.mean([one(rng) for _ in range(trials)])


def covers_mean(load, services, count):
    truth = mean_wait(load, services)

    def one(rng):
        estimate = batch_means(waits(rng.exponential(1.0, count), services(rng, count, load)))
        return estimate.low <= truth <= estimate.high

    return one


def test_an_interval_of_the_mean_wait_covers_it():
    """90 of 100 is 2.3 standard deviations below 95 %."""
    assert share_covered(100, 5, covers_mean(0.5, deterministic, 20_000)) >= 0.90


@pytest.mark.slow
@pytest.mark.parametrize("services", [deterministic, two_kinds])
@pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
def test_intervals_of_mean_waits_cover_them_in_95_percent(load, services):
    """M/D/1 and M/G/1 against Pollaczek and Khinchine's formula, 500 runs of 100,000 requests from an empty system."""
    assert 0.93 <= share_covered(500, 5, covers_mean(load, services, 100_000)) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.99])
def test_intervals_of_quantiles_of_waits_cover_them(probability):
    """M/M/1 with mean service of a half: P(wait > x) = exp(-x) / 2."""
    truth, count = math.log(0.5 / (1 - probability)), 100_000

    def one(rng):
        estimate = batch_quantile(waits(rng.exponential(1.0, count), rng.exponential(0.5, count)), probability)
        return estimate.low <= truth <= estimate.high

    assert 0.92 <= share_covered(300, 6, one) <= 0.985


def test_pairs_see_what_independent_runs_cannot():
    """A server slower by 1 % under the same traffic: certain in pairs, lost in the noise of either run."""
    rng = np.random.default_rng(7)
    gaps, services = rng.exponential(1.0, 20_000), rng.gamma(2.0, 0.3, 20_000)
    a, b = waits(gaps, services) + services, waits(gaps, services * 1.01) + services * 1.01
    mean = batch_means(b - a, warm_up=0)
    assert 0 < mean.low < mean.high < batch_means(a, warm_up=0).high - batch_means(a, warm_up=0).low
    for probability in (0.5, 0.9):
        gap = paired_quantiles(a, b, probability)
        assert gap.mean == pytest.approx(np.quantile(b, probability) - np.quantile(a, probability))
        assert 0 < gap.low < gap.mean < gap.high
    same = paired_quantiles(a, a, 0.9)
    assert (same.low, same.high) == (0, 0)
    assert paired_quantiles(a[:50], b[:50], 0.99).high == math.inf


@pytest.mark.parametrize("degrees", [*range(1, 40), 99, 100, 998, 999, 1_000, 1_001, 10_000, 10**6])
def test_quantiles_of_students_t_are_scipys(degrees):
    probabilities = np.array([0.51, 0.6, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9995, 0.99999])
    ours = [student.quantile(degrees, probability) for probability in probabilities.tolist()]
    np.testing.assert_allclose(ours, scipy.special.stdtrit(degrees, probabilities), rtol=1e-10)
