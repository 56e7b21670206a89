"""What a full system answers per second, for runs at hand."""

from pathlib import Path

import numpy as np
import pytest
from helpers_outcomes import make_outcomes, served
from helpers_sizing import BATCHING, ONE_SEAT, ONE_TOKEN, SERVICE_S, SINGLE

import blis
from blis.outcomes.metrics.activity import load_share
from blis.report.run_table import verdict
from blis.studies.capacity.saturation import MOST_REQUESTS, saturation_rate

pytestmark = pytest.mark.usefixtures("compiled_engine")

EXAMPLES = Path(blis.__file__).parent.parent / "examples"
ENGINE, CLUSTER = blis.EngineOptions(), blis.ClusterOptions()


def test_one_server_answers_as_fast_as_it_serves():
    assert saturation_rate(SINGLE, ONE_TOKEN, ONE_SEAT, CLUSTER, None) == pytest.approx(1 / SERVICE_S, rel=1e-3)


def test_it_is_what_capacities_are_relative_to():
    found = blis.capacity(BATCHING, ONE_TOKEN, "p99_ttft=1s", num_requests=2000, replications=1, tolerance=0.5)
    assert saturation_rate(BATCHING, ONE_TOKEN, ENGINE, CLUSTER, None) == found.saturation_rate


def test_admission_does_not_count():
    shut = blis.ClusterOptions(admission_policy="reject-all")
    assert saturation_rate(SINGLE, ONE_TOKEN, ONE_SEAT, shut, None) == pytest.approx(1 / SERVICE_S, rel=1e-3)


def trace(count):
    return blis.RequestTable(np.arange(count) * 1000, np.full(count, 10), np.full(count, 1))


@pytest.mark.parametrize(
    ("workload", "cluster"),
    [
        (blis.load_workload_spec(EXAMPLES / "workload-closed-loop.yaml"), CLUSTER),
        (trace(MOST_REQUESTS + 1), CLUSTER),
        (ONE_TOKEN, blis.ClusterOptions(num_instances=2, routing_policy=f"{EXAMPLES / 'policies.py'}:cache_or_queue")),
    ],
    ids=["clients that wait", "a long trace", "functions"],
)
def test_where_it_says_nothing(workload, cluster, monkeypatch):
    assert saturation_rate(BATCHING, workload, ENGINE, cluster, None) is None


def test_the_load_is_a_share_of_it():
    outcomes = make_outcomes([served(at, 1_000) for at in range(0, 1_000_001, 100_000)], end_us=1_100_000)
    assert load_share(outcomes, 40.0) == pytest.approx(10 / 40)
    assert verdict(outcomes, outcomes.summary, 0.25).startswith("too short to tell, 25 % of capacity; p99 TTFT ")
    assert load_share(outcomes, None) is None
    assert load_share(make_outcomes([served(0, 1_000)]), 40.0) is None
