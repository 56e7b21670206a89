"""Where the backlog binds: no rate is more than the server can do, and intervals contain the closed form."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from helpers_sizing import BATCHING, ONE_SEAT, ONE_TOKEN, SERVICE_S, SINGLE

import blis
from blis.studies.capacity.evaluating import Evaluator
from blis.studies.capacity.loads import Load
from blis.studies.capacity.objectives import Slos
from blis.studies.capacity.points import Effort
from blis.studies.sweep.runner import Case

pytestmark = pytest.mark.usefixtures("compiled_engine")

GENEROUS = "p99_ttft=100s"
#: 1 ms per output token, one request at a time: M/G/1.
PER_TOKEN = blis.Deployment("m", alpha_coeffs=(0, 0, 0), beta_coeffs=(1000, 0, 0), total_kv_blocks=100_000)
LENGTHS = replace(ONE_TOKEN, output_tokens=10, output_tokens_stdev=5, output_tokens_max=30)
QUICK = {"num_requests": 500, "tolerance": 0.05}


def mg1_limit():
    """One over the mean service: of a normal length, rounded, between 1 and 30 tokens of 1 ms."""
    law = NormalDist(LENGTHS.output_tokens, LENGTHS.output_tokens_stdev)
    return 1000 / (1 + sum(1 - law.cdf(tokens + 0.5) for tokens in range(1, 30)))


@pytest.mark.parametrize("arrival", ["poisson", "constant"])
@pytest.mark.parametrize("seed", [42, 1])
def test_one_server_bears_no_more_than_it_serves(arrival, seed):
    found = blis.capacity(SINGLE, replace(ONE_TOKEN, arrival=arrival), GENEROUS, engine=ONE_SEAT, seed=seed)
    assert (found.verdict, found.binding, found.backlog) == ("found", "backlog", "stable")
    assert 0.98 / SERVICE_S < found.rate < 1 / SERVICE_S
    assert found.low <= 1 / SERVICE_S <= found.high < 1.001 / SERVICE_S
    assert found.utilisation < 1


def test_services_of_different_length():
    found = blis.capacity(PER_TOKEN, LENGTHS, GENEROUS, engine=ONE_SEAT, **QUICK)
    assert found.binding == "backlog"
    assert found.rate < mg1_limit()
    assert found.low <= mg1_limit() <= found.high


@pytest.mark.slow
def test_the_interval_contains_the_limit_whatever_the_seed():
    """Of M/D/1 and D/D/1 nothing depends on the seed but the arrivals, which don't matter while the server is full."""
    inside = []
    for seed in range(500):
        evaluator = Evaluator(Case(PER_TOKEN, LENGTHS, ONE_SEAT), Load(LENGTHS, seed), Slos.of(GENEROUS))
        full = evaluator.fill(Effort(1000, 8)).full
        inside.append(full.low <= mg1_limit() <= full.high)
    assert np.mean(inside) >= 0.93


@pytest.mark.slow
def test_found_rates_stay_below_the_limit_whatever_the_seed():
    found = [
        blis.capacity(PER_TOKEN, LENGTHS, GENEROUS, engine=ONE_SEAT, seed=seed, **QUICK) for seed in range(1000, 1060)
    ]
    assert sum(each.rate > mg1_limit() for each in found) <= 1
    assert sum(each.low <= mg1_limit() <= each.high for each in found) >= 57


@pytest.mark.parametrize(("rate", "needed"), [(99.5, 1), (100.5, 2), (199.0, 2), (200.5, 3)])
def test_instances_are_enough_to_keep_up(rate, needed):
    found = blis.instances_for(rate, SINGLE, ONE_TOKEN, GENEROUS, engine=ONE_SEAT, num_requests=500)
    assert found.num_instances == needed
    assert found.utilisation < 1


def test_no_rate_below_a_bound_that_nothing_sustains():
    found = blis.capacity(SINGLE, ONE_TOKEN, GENEROUS, engine=ONE_SEAT, min_rate=101.0, **QUICK)
    assert (found.verdict, found.rate, found.binding) == ("none", None, "backlog")


def trace(count, gap_us):
    return blis.RequestTable(np.arange(count) * gap_us, np.full(count, 10), np.full(count, 1))


def test_two_requests_tell_nothing_of_a_limit():
    found = blis.capacity(SINGLE, trace(2, 10_000_000), "p99_ttft=500ms", engine=ONE_SEAT)
    assert (found.verdict, found.rate, found.high, found.saturation_rate) == ("too short to tell", None, None, None)
    assert set(found.curve["num_requests"]) == {2}
    assert found.curve["rate_per_s"].is_unique().all()


def test_a_trace_long_enough_has_the_limit_of_its_server():
    found = blis.capacity(SINGLE, trace(3000, 20_000), "p99_ttft=100s", engine=ONE_SEAT)
    assert (found.verdict, found.is_sampled) == ("found", False)
    assert found.rate < 1 / SERVICE_S
    assert found.low <= 1 / SERVICE_S <= found.high
    assert set(found.curve["num_requests"]) == {3000}


def test_a_batch_that_is_never_full_is_no_full_system():
    """200 requests of a trace fit in one batch: their limit is the highest rate with a backlog that keeps its level."""
    found = blis.capacity(BATCHING, trace(200, 500_000), "p99_ttft=100ms")
    assert found.saturation_rate is None
    assert found.backlog == "stable"
    assert found.rate < blis.capacity(BATCHING, ONE_TOKEN, "p99_ttft=100ms", **QUICK).saturation_rate
