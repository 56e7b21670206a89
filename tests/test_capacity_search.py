"""The search for a rate or a number of instances, on points that are made up."""

import math
from functools import partial

import pytest
from helpers_sizing import fake_point
from hypothesis import given
from hypothesis import strategies as st

from blis.studies.capacity.objectives import Slos
from blis.studies.capacity.points import MOST_GROWTH, Effort
from blis.studies.capacity.search import Limits, find_instances, find_rate

SLOS = Slos.of(["p99_ttft=100ms"])


def limits(**changed):
    return Limits(**{"tolerance": 0.01, "lowest": 1e-3, "highest": 1e4, "effort": Effort(1000, 4), **changed})


class Asked:
    """Evaluates made-up points, and remembers what was asked."""

    def __init__(self, strain_of, **about):
        self.strain_of, self.about, self.efforts, self.rates = strain_of, about, [], []

    def __call__(self, rate, effort, *, pilot=False):
        self.efforts.append(effort)
        self.rates.append(rate)
        stable = rate < self.about.get("saturates", math.inf)
        return fake_point(SLOS, self.strain_of, rate, effort, stable=stable, noise=self.about.get("noise", 0.0))


@given(st.floats(0.01, 1000), st.floats(0.02, 50), st.floats(0.3, 8))
def test_the_limit_is_found_to_the_tolerance_wherever_the_search_starts(limit, start_factor, power):
    found = find_rate(Asked(lambda rate: (rate / limit) ** power), limit * start_factor, limits())
    assert found.verdict == "found"
    assert found.meets.rate <= limit <= found.misses.rate <= found.meets.rate * 1.0101
    assert found.misses.binding == "p99_ttft"


def test_none_and_no_limit():
    none = find_rate(Asked(lambda rate: 2.0), 10.0, limits())
    assert (none.verdict, none.meets) == ("none", None)
    assert none.misses.rate == 1e-3
    endless = find_rate(Asked(lambda rate: 0.5), 10.0, limits())
    assert (endless.verdict, endless.misses) == ("no limit", None)
    assert endless.meets.rate == 1e4


def test_runs_grow_before_a_system_counts_as_limitless():
    """Short runs cannot tell of their backlog and meet everything; long ones have a limit at 40."""

    def evaluate(rate, effort, *, pilot=False):
        if effort.num_requests < 10_000:
            return fake_point(SLOS, lambda rate: 0.1, rate, effort, stable=None)
        return fake_point(SLOS, lambda rate: rate / 40, rate, effort)

    found = find_rate(evaluate, 10.0, limits())
    assert found.verdict == "found"
    assert found.meets.rate == pytest.approx(40, rel=0.011)


def test_nothing_is_tried_beyond_the_bounds():
    asked = Asked(lambda rate: rate / 5)
    found = find_rate(asked, 300.0, limits(lowest=2.0, highest=7.0))
    assert 2.0 <= min(asked.rates) <= max(asked.rates) <= 7.0
    assert found.meets.rate == pytest.approx(5, rel=0.011)


def test_a_growing_backlog_is_a_limit_by_itself():
    found = find_rate(Asked(lambda rate: 0.1, saturates=40.0), 10.0, limits())
    assert found.meets.rate == pytest.approx(40, rel=0.011)
    assert found.misses.binding == "backlog"


def test_all_replications_only_near_the_limit_and_longer_runs_only_where_the_interval_is_wide():
    exact = Asked(lambda rate: rate / 8)
    find_rate(exact, 1000.0, limits())
    far = [effort for rate, effort in zip(exact.rates, exact.efforts, strict=True) if rate > 17]
    assert far
    assert {effort.replications for effort in far} == {2}
    assert {effort.num_requests for effort in exact.efforts} == {1000, 4000}
    noisy = Asked(lambda rate: rate / 8, noise=0.5)
    found = find_rate(noisy, 1000.0, limits())
    assert max(effort.num_requests for effort in noisy.efforts) > 4000
    assert found.half_width <= 0.01


def test_runs_grow_to_a_bound_and_the_interval_stays_as_wide_as_it_is():
    noisy = Asked(lambda rate: rate / 8, noise=500.0)
    found = find_rate(noisy, 1000.0, limits())
    assert max(effort.num_requests for effort in noisy.efforts) == 1000 * MOST_GROWTH
    assert found.half_width > 0.01
    fixed = Asked(lambda rate: rate / 8, noise=500.0)
    find_rate(fixed, 1000.0, limits(can_grow=False))
    assert {effort.num_requests for effort in fixed.efforts} == {1000}


def test_the_interval_is_that_of_the_figure_over_its_slope():
    found = find_rate(Asked(lambda rate: (rate / 8) ** 4, noise=2.0), 16.0, limits(effort=Effort(10_000, 4)))
    assert found.meets.effort == Effort(40_000, 4)
    # replications at ±1 %: t(3) = 3.182, standard error 0.01 * sqrt(4 / 3) / 2
    assert found.half_width == pytest.approx(3.182 * 0.01 * math.sqrt(4 / 3) / 2 / 4, rel=0.05)


def test_runs_grow_until_that_changes_the_rate_no_more():
    """Short runs are too kind: a bias of 100 / requests."""

    def evaluate(rate, effort, *, pilot=False):
        return fake_point(SLOS, lambda r: r / (8 * (1 + 100 / effort.num_requests)), rate, effort)

    found = find_rate(evaluate, 16.0, limits())
    assert found.meets.effort.num_requests >= 16_000
    assert found.meets.rate == pytest.approx(8, rel=0.015)


@given(st.integers(1, 200), st.integers(1, 20))
def test_the_fewest_instances(needed, least):
    def evaluate(count, effort):
        return fake_point(SLOS, lambda _: (needed - 0.01) / count, 10.0, effort, num_instances=count)

    found = find_instances(evaluate, least, 256, Effort(1000, 4))
    assert found.meets.num_instances == max(needed, least)
    assert found.misses is None if needed <= least else found.misses.num_instances == needed - 1


def test_not_enough_instances():
    found = find_instances(lambda n, e: fake_point(SLOS, lambda _: 9 / n, 1.0, e, n), 1, 8, Effort(1000, 4))
    assert found.meets is None
    assert found.misses.num_instances == 8


def test_runs_grow_while_a_number_of_instances_is_in_doubt():
    asked = []

    def evaluate(count, effort):
        asked.append((count, effort.num_requests))
        return fake_point(SLOS, lambda _: 2.97 / count, 1.0, effort, count, noise=0.3)

    assert find_instances(evaluate, 2, 8, Effort(1000, 4)).meets.num_instances == 3
    assert [n for count, n in asked if count == 2] == [1000]
    assert [n for count, n in asked if count == 3] == [1000, 4000]


@pytest.mark.parametrize("fewest", [4000, 60_000])
def test_runs_grow_before_saturation_counts_as_the_limit(fewest):
    """Near saturation queues take long to build up: only long runs show that an SLO binds at 45 of 50."""

    def evaluate(rate, effort, *, pilot=False):
        limit = 45 if effort.num_requests >= fewest else 100
        return fake_point(SLOS, lambda rate: (rate / limit) ** 2, rate, effort)

    found = find_rate(evaluate, 50.0, limits(highest=50.0, at_saturation=True))
    assert (found.verdict, found.misses.binding) == ("found", "p99_ttft")
    assert found.meets.rate == pytest.approx(45, rel=0.011)


def test_saturation_is_the_limit_where_even_long_runs_meet():
    asked = Asked(lambda rate: rate / 100 if rate < 49 else 0.9)
    found = find_rate(asked, 50.0, limits(highest=50.0, at_saturation=True))
    assert (found.verdict, found.meets.rate) == ("no limit", 50.0)
    assert max(effort.num_requests for effort in asked.efforts) == 1000 * MOST_GROWTH


def test_what_cannot_be_told_does_not_count_as_met():
    """Runs that cannot grow: nobody knows of their backlog above 10, nor of any of them."""

    def evaluate(rate, effort, *, pilot=False, known=10.0):
        return fake_point(SLOS, lambda rate: rate / 40, rate, effort, stable=True if rate <= known else None)

    found = find_rate(evaluate, 30.0, limits(can_grow=False))
    assert (found.verdict, found.misses.binding) == ("found", "p99_ttft")
    assert 5 <= found.meets.rate <= 10
    nothing = find_rate(partial(evaluate, known=0.0), 30.0, limits(can_grow=False))
    assert (nothing.verdict, nothing.meets) == ("too short to tell", None)
