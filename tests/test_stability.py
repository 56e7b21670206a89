"""Whether a backlog grows: queues that keep up, queues that don't, and runs that are too short to tell."""

import math

import numpy as np
import pytest
from helpers_queues import queue, two_kinds
from hypothesis import given, settings
from hypothesis import strategies as st

from blis.errors import InputError
from blis.outcomes.statistics.stability import stability
from blis.outcomes.statistics.trend import trend


def verdicts(trials, count, load, **how):
    """Shares of (stable, overloaded, too short to tell)."""
    rng = np.random.default_rng(1)
    found = [stability(*queue(rng, count, load, **how)).stable for _ in range(trials)]
    return tuple(found.count(verdict) / trials for verdict in (True, False, None))


@pytest.mark.parametrize(("load", "count"), [(0.5, 2_000), (0.9, 100_000)])
def test_queues_that_keep_up(load, count):
    stable, overloaded, _ = verdicts(20, count, load)
    assert stable >= 0.9
    assert overloaded == 0


@pytest.mark.parametrize(("load", "count"), [(1.05, 20_000), (1.2, 2_000), (3.0, 200)])
def test_queues_that_do_not(load, count):
    assert verdicts(20, count, load)[1] >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("arrival_cv", [1.0, 3.0])
@pytest.mark.parametrize("count", [100, 1_000, 10_000])
@pytest.mark.parametrize("load", [0.5, 0.9, 0.95])
def test_false_alarms_are_rare(load, count, arrival_cv):
    assert verdicts(300, count, load, arrival_cv=arrival_cv)[1] <= 0.03


@pytest.mark.slow
@pytest.mark.parametrize("arrival_cv", [1.0, 3.0])
@pytest.mark.parametrize("count", [100, 1_000, 10_000])
@pytest.mark.parametrize("load", [1.05, 1.2])
def test_overload_is_hardly_ever_called_stable(load, count, arrival_cv):
    assert verdicts(300, count, load, arrival_cv=arrival_cv)[0] <= 0.04


def test_the_growth_and_the_load_are_told():
    found = stability(*queue(np.random.default_rng(2), 20_000, 1.25, services=two_kinds))
    assert found.stable is False
    assert found.growth_per_s == pytest.approx(0.2, abs=0.03)  # 1 - 1 / 1.25 of one arrival a second
    assert abs(found.growth_per_s - 0.2) < 4 * found.growth_error_per_s
    assert found.utilisation == pytest.approx(1.25, abs=0.05)
    assert stability(*queue(np.random.default_rng(2), 5_000, 0.5)).utilisation is None


def test_the_mean_backlog_obeys_littles_law():
    arrival, done = queue(np.random.default_rng(3), 50_000, 0.5)
    found = stability(arrival, done)
    assert found.mean_backlog == pytest.approx(found.arrivals_per_s * (done - arrival).mean() / 1e6, rel=0.01)


def test_a_backlog_that_drains_in_the_end_was_one():
    """All finish at last; only the time while requests arrive counts."""
    arrival, done = queue(np.random.default_rng(4), 2_000, 1.5)
    assert done.max() > 1.4 * arrival.max()
    assert stability(arrival, done).stable is False


def test_a_run_that_was_cut_is_judged_by_what_was_seen():
    arrival, done = queue(np.random.default_rng(5), 4_000, 1.5)
    end = arrival[3_000]
    seen = arrival <= end
    cut = stability(arrival[seen], np.where(done <= end, done, -1)[seen], end_us=end)
    assert cut.stable is False
    assert cut.growth_per_s == pytest.approx(1 / 3, abs=0.05)


def test_a_system_that_is_still_filling_is_no_overload():
    """Requests that stay 50 s each, all served at once: the number in the system rises to 50 and stays there."""
    rng = np.random.default_rng(6)
    arrival = np.cumsum(rng.exponential(1e6, 5_000))
    done = arrival + rng.gamma(4, 12.5e6, 5_000)
    assert stability(arrival[:60], done[:60]).stable is None
    assert stability(arrival, done).stable is True


def test_nothing_to_look_at():
    for arrival in ([], [0, 1, 2], [5] * 100):
        found = stability(np.array(arrival), np.array(arrival) + 10)
        assert found.stable is None
        assert math.isnan(found.growth_per_s)


def test_even_arrivals_leave_no_doubt():
    arrival = np.arange(1_000) * 1_000_000
    assert stability(arrival, arrival + 500_000).stable is True
    assert stability(arrival, (np.arange(1_000) + 1) * 2_000_000).stable is False


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0.5, 1.0, 1.5]))
def test_neither_the_order_of_rows_nor_the_clock_matters(seed, load):
    rng = np.random.default_rng(seed)
    arrival, done = (np.rint(stamps) for stamps in queue(rng, 400, load))
    shuffle = rng.permutation(400)
    plain = stability(arrival, done)
    assert stability(arrival[shuffle], done[shuffle]) == plain or plain.stable is None
    assert stability(arrival + 2**40, done + 2**40).stable == plain.stable


@pytest.mark.parametrize(
    ("arrival", "done", "says"),
    [([1, 2], [3], "one length"), ([1, 5], [3, 4], r"done_us\[1\]: must not be before the arrival at 5, got 4")],
)
def test_bad_columns(arrival, done, says):
    with pytest.raises(InputError, match=says):
        stability(np.array(arrival), np.array(done))


def test_a_line_in_noise_and_in_a_random_walk():
    """Both errors are honest: the slope is found within three of them."""
    rng = np.random.default_rng(8)
    noise = rng.normal(size=128)
    for errors in (noise, np.cumsum(noise)):
        line = trend(0.5 * np.arange(128) + errors)
        assert abs(line.slope - 0.5) < 3 * line.standard_error
    assert trend(np.cumsum(noise)).standard_error > 5 * trend(noise).standard_error
    assert trend(2.0 * np.arange(128)).slope == pytest.approx(2)
