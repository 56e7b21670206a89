"""What a full system answers per second, for runs at hand."""

from dataclasses import replace
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


def trace(count, **more):
    return blis.RequestTable(np.arange(count) * 1000, np.full(count, 10), np.full(count, 1), **more)


def test_of_a_long_trace_some_are_enough():
    """Every third one is long: the mean must be that of the whole trace."""
    count = 5 * MOST_REQUESTS
    lengths = np.where(np.arange(count) % 3 == 0, 400, 10)
    table = blis.RequestTable(np.arange(count) * 1000, lengths, np.full(count, 20))
    most = replace(table.take(np.arange(MOST_REQUESTS - MOST_REQUESTS % 3)), request_number=None)
    expected = saturation_rate(BATCHING, most, ENGINE, CLUSTER, None)
    assert saturation_rate(BATCHING, table, ENGINE, CLUSTER, None) == pytest.approx(expected, rel=0.02)


def in_pairs(count):
    """Each two prompts are alike."""
    return blis.TokenStreams(np.arange(count) // 2, np.full(count // 2 + 1, -1), np.zeros(count // 2 + 1, np.int64))


@pytest.mark.parametrize(
    ("workload", "cluster"),
    [
        (blis.load_workload_spec(EXAMPLES / "workload-closed-loop.yaml"), CLUSTER),
        (trace(MOST_REQUESTS + 1, content=in_pairs(MOST_REQUESTS + 1)), CLUSTER),
        (ONE_TOKEN, blis.ClusterOptions(num_instances=2, routing_policy=f"{EXAMPLES / 'policies.py'}:cache_or_queue")),
    ],
    ids=["clients that wait", "a long trace that shares prompts", "functions"],
)
def test_where_it_says_nothing(workload, cluster, monkeypatch):
    assert saturation_rate(BATCHING, workload, ENGINE, cluster, None) is None


PRESET_8B = blis.Deployment("meta-llama/llama-3.1-8b-instruct")
LONG = blis.DistributionWorkload(
    prompt_tokens=100, prompt_tokens_stdev=0, output_tokens=1500, output_tokens_stdev=800, output_tokens_max=6000
)


def shared_prefix(tokens):
    return blis.DistributionWorkload(
        prompt_tokens=200, prompt_tokens_stdev=100, output_tokens=40, output_tokens_stdev=20, prefix_tokens=tokens
    )


@pytest.mark.parametrize(
    "workload",
    [blis.preset("chatbot"), LONG, *map(shared_prefix, (100, 1000, 1900))],
    ids=["chatbot", "long outputs", "prefix of 100", "prefix of 1000", "prefix of 1900"],
)
def test_below_it_runs_are_stable_and_above_it_overloaded(workload):
    """What it says of short runs, long ones bear out; and what they say of their load is no other verdict."""
    full = saturation_rate(PRESET_8B, workload, ENGINE, CLUSTER, None)
    for share, verdicts in ((0.93, "stable"), (1.0, "stable overloaded too short to tell"), (1.07, "overloaded")):
        outcomes = blis.simulate(PRESET_8B, replace(workload, rate=share * full, num_requests=20_000))
        load = load_share(outcomes, full)
        assert outcomes.steady_state.verdict in verdicts
        assert load == pytest.approx(share, abs=0.04)
        if outcomes.steady_state.verdict != "too short to tell":
            assert (load <= 1) == (outcomes.steady_state.verdict == "stable")


PREFIX_GROUPS = """
aggregate_rate: 10
num_requests: 100
clients:
"""
CLIENT = """
  - rate_fraction: 1
    arrival: {process: poisson}
    prefix_group: g%d
    prefix_length: 512
    input_distribution: {type: gaussian, params: {mean: 200, std_dev: 100, min: 1, max: 500}}
    output_distribution: {type: gaussian, params: {mean: 60, std_dev: 30, min: 1, max: 200}}
"""


@pytest.mark.parametrize("total_kv_blocks", [20_000, 4000])
def test_prefixes_of_groups_are_in_a_warm_cache(tmp_path, total_kv_blocks):
    """64 prefixes, more than half of the smaller cache: hits are those of a long run."""
    path = tmp_path / "spec.yaml"
    path.write_text(PREFIX_GROUPS + "".join(CLIENT % group for group in range(64)))
    spec = blis.load_workload_spec(path)
    deployment = replace(PRESET_8B, total_kv_blocks=total_kv_blocks)
    full = saturation_rate(deployment, spec, ENGINE, CLUSTER, None)
    for share, expected in ((0.9, "stable"), (1.1, "overloaded")):
        run = blis.simulate(deployment, replace(spec, aggregate_rate=share * full, num_requests=20_000))
        assert run.steady_state.verdict == expected
        assert load_share(run, full) == pytest.approx(share, abs=0.05)


def test_an_order_that_prefers_short_requests_answers_no_more():
    rates = [
        saturation_rate(PRESET_8B, LONG, blis.EngineOptions(scheduler=name), CLUSTER, None) for name in ("fcfs", "sjf")
    ]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("count", [1, 6, 100])
def test_a_few_requests_fill_nothing(count):
    assert saturation_rate(BATCHING, trace(count), ENGINE, CLUSTER, None) is None


def test_the_load_is_a_share_of_it():
    outcomes = make_outcomes([served(at, 1_000) for at in range(0, 1_000_001, 100_000)], end_us=1_100_000)
    assert load_share(outcomes, 40.0) == pytest.approx(10 / 40)
    assert verdict(outcomes, outcomes.summary, 0.25).startswith("too short to tell, 25 % of capacity; p99 TTFT ")
    assert load_share(outcomes, None) is None
    assert load_share(make_outcomes([served(0, 1_000)]), 40.0) is None


def test_a_load_does_not_contradict_the_verdict():
    """Whatever the estimate says: a stable system bears its load, and one that is overloaded does not."""
    stable = blis.simulate(SINGLE, replace(ONE_TOKEN, rate=50, num_requests=5000), engine=ONE_SEAT)
    assert stable.steady_state.verdict == "stable"
    assert [load_share(stable, rate) for rate in (49.0, 30.0)] == [1.0, None]
    overloaded = blis.simulate(SINGLE, replace(ONE_TOKEN, rate=150, num_requests=5000), engine=ONE_SEAT)
    assert load_share(overloaded, 300.0) == load_share(overloaded, None) == pytest.approx(1.5, rel=0.05)
