"""How far a prediction is off: values by hand, bounds of grades, and laws that hold for any durations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blis.errors import InputError
from blis.outcomes.metrics.calibration import compare, grade, pearson_r


def test_values_by_hand():
    """Errors of 10, 10 and 20 % make a MAPE of 4/30; r = 210 / sqrt(200 * 242) from the raw sums."""
    found = compare([10, 20, 30], [11, 18, 36])
    assert found.count == 3
    assert found.mape == pytest.approx(0.4 / 3)
    # n Σxy - Σx Σy = 3 * 1550 - 60 * 65 = 750; n Σx² - (Σx)² = 600; n Σy² - (Σy)² = 3 * 1741 - 4225 = 998
    assert found.pearson_r == pytest.approx(750 / (600 * 998) ** 0.5)
    assert (found.bias, found.quality) == ("over-predict", "good")
    assert (found.measured.mean, found.measured.p50, found.simulated.p50) == (20, 20, 18)
    assert found.measured.p90 == pytest.approx(28)  # rank 1.8: 20 + 0.8 * 10
    assert found.measured.p95 == pytest.approx(29)
    assert found.simulated.p99 == pytest.approx(18 + 0.98 * 18)
    assert found.relative_error("mean") == pytest.approx(65 / 60 - 1)
    assert found.relative_error("p50") == pytest.approx(-0.1)


def test_measured_zeros_count_for_percentiles_only():
    """The pair (0, 50) would be an error without end; (10, 9) alone is 10 % too low."""
    found = compare([0, 10], [50, 9])
    assert (found.mape, found.bias) == (pytest.approx(0.1), "under-predict")
    assert found.simulated.mean == 29.5
    nothing = compare([0, 0, 0], [1, 2, 3])
    assert (nothing.mape, nothing.bias, nothing.quality, nothing.count) == (None, "", "not graded", 3)
    assert nothing.relative_error("mean") is None


def test_a_correlation_takes_three_pairs_that_differ():
    assert compare([1, 2], [1, 2]).pearson_r == 0
    assert compare([1, 2], [1, 2]).quality == "not graded"
    assert compare([0.1, 0.1, 0.1], [1, 2, 3]).pearson_r == 0
    assert compare([1, 2, 3], [0.1, 0.1, 0.1]).pearson_r == 0
    assert compare([1, 2, 3], [3, 2, 1]).pearson_r == pytest.approx(-1)


@pytest.mark.parametrize(
    ("mape", "r", "quality"),
    [
        (0.0999, 0.951, "excellent"),
        (0.10, 1.0, "good"),
        (0.05, 0.95, "good"),
        (0.1999, 0.851, "good"),
        (0.20, 1.0, "fair"),
        (0.05, 0.85, "fair"),
        (0.3499, 0.701, "fair"),
        (0.35, 1.0, "poor"),
        (0.05, 0.70, "poor"),
        (0.0, -1.0, "poor"),
        (None, 1.0, "not graded"),
    ],
)
def test_bounds_of_grades_are_strict(mape, r, quality):
    assert grade(mape, r) == quality


@pytest.mark.parametrize(
    ("mape", "variation", "quality"),
    [
        (0.05, 0.10, "excellent"),  # varies no more than an excellent prediction may be off
        (0.05, 0.101, "good"),
        (0.15, 0.101, "good"),
        (0.15, 0.201, "fair"),
        (0.25, 0.30, "fair"),
        (0.25, 0.351, "poor"),
        (0.40, 0.0, "poor"),
    ],
)
def test_a_correlation_counts_where_values_vary(mape, variation, quality):
    assert grade(mape, 0.0, variation) == quality


@given(st.integers(0, 2**32), st.floats(0, 0.02))
def test_a_prediction_that_is_right_is_excellent_however_little_varies(seed, spread):
    rng = np.random.default_rng(seed)
    measured = 10 * (1 + spread * rng.normal(size=200).clip(-3, 3))
    measured[:5] *= 9  # outliers that nobody foresaw
    simulated = 10 * (1 + 0.002 * rng.normal(size=200).clip(-3, 3))
    found = compare(measured, simulated)
    assert found.quality == "excellent"
    assert found.variation < 0.1


def test_a_constant_does_not_predict_what_varies():
    measured = np.random.default_rng(1).gamma(2, 10, 500)
    assert compare(measured, np.full(500, measured.mean())).quality == "poor"


@pytest.mark.parametrize(
    ("measured", "simulated", "problem"),
    [
        ([], [], "measured: must hold at least one value, got none"),
        ([1, 2], [1], "simulated: must hold as many values as measured, 2, got 1"),
        ([1, -2], [1, 2], r"measured\[1\]: must be a finite number >= 0, got -2"),
        ([1, 2], [np.nan, 2], r"simulated\[0\]: must be a finite number >= 0, got nan"),
        ([1, np.inf], [1, 2], r"measured\[1\]: must be a finite number"),
        ([[1]], [[1]], r"measured: must be a vector of numbers, got int64 of shape \(1, 1\)"),
        (["a"], [1], "measured: must be a vector of numbers"),
    ],
)
def test_what_is_no_pair_of_vectors(measured, simulated, problem):
    with pytest.raises(InputError, match=problem):
        compare(measured, simulated)


durations = st.floats(1e-3, 1e9)
vectors = st.lists(durations, min_size=3, max_size=30).map(np.array)


@given(vectors)
def test_a_perfect_simulation(values):
    found = compare(values, values)
    assert (found.mape, found.bias) == (0, "neutral")
    assert found.measured == found.simulated
    if np.ptp(values) > 0:
        assert found.pearson_r == pytest.approx(1)
        assert found.quality == "excellent"


@given(vectors, st.floats(1e-3, 10))
def test_everything_too_long_by_the_same_share(values, share):
    longer = compare(values, values * (1 + share))
    assert longer.mape == pytest.approx(share)
    assert longer.relative_error("p90") == pytest.approx(share)
    assert longer.bias == "over-predict"
    assert compare(values * (1 + share), values).bias == "under-predict"


pairs = st.lists(st.tuples(durations, durations), min_size=1, max_size=30)


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    one, other = (compare(*np.array(columns).T) for columns in (values, shuffled))
    assert one.mape == pytest.approx(other.mape)
    assert one.pearson_r == pytest.approx(other.pearson_r, abs=1e-9)
    assert one.measured.p99 == other.measured.p99
    assert one.simulated.mean == pytest.approx(other.simulated.mean)


@given(pairs, st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(values, factor):
    one, other = (compare(*(np.array(values).T * scale)) for scale in (1, factor))
    assert one.mape == pytest.approx(other.mape)
    assert one.pearson_r == pytest.approx(other.pearson_r, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=30))
def test_the_correlation_is_that_of_the_raw_sums(values):
    x, y = np.array(values, dtype=object).T  # Python's integers: exact sums
    n = len(x)
    spread = (n * (x * x).sum() - x.sum() ** 2) * (n * (y * y).sum() - y.sum() ** 2)
    expected = 0 if spread == 0 else (n * (x * y).sum() - x.sum() * y.sum()) / spread**0.5
    assert pearson_r(x.astype(float), y.astype(float)) == pytest.approx(expected, abs=1e-9)
