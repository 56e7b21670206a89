"""Laws that a cluster keeps whatever its policies are; random cases against an oracle are in test_cluster_random."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import blis
from blis._core.codes import NEVER, RequestStatus
from blis.cli.main import main
from blis.config.schema import ClusterOptions, EngineConfig
from blis.latency.blackbox import blackbox_model
from blis.simulation import control_of, run_engine
from blis.workload.distribution import DistributionWorkload
from blis.workload.requests import RequestTable, TokenStreams

LLAMA = "meta-llama/llama-3.1-8b-instruct"
MODEL = blackbox_model((500, 1, 3), (5_000, 10, 30))
ENGINE = EngineConfig(total_kv_blocks=3_000, max_num_running_reqs=32)
POLICIES = ("round-robin", "least-loaded", "weighted", "prefix-affinity", "always-busiest")


def requests(rate: float = 60.0, count: int = 4_000) -> RequestTable:
    """Poisson arrivals; every other request begins as one of 20 groups does."""
    table = DistributionWorkload(rate=rate, num_requests=count, prompt_tokens=300, output_tokens=60).requests(7)
    rng = np.random.default_rng(7)
    parent = np.concatenate([np.full(20, -1), np.where(rng.random(count) < 0.5, rng.integers(0, 20, count), -1)])
    fork = np.where(parent < 0, 0, 256)
    content = TokenStreams(20 + np.arange(count), parent, fork)
    return RequestTable(table.arrival_us, 256 + table.input_tokens, table.output_tokens, content)


def run(table: RequestTable, engine: EngineConfig = ENGINE, **options):
    return run_engine(table, engine, MODEL, control_of(ClusterOptions(**options), engine))


@pytest.mark.parametrize("policy", POLICIES)
def test_each_instance_does_what_it_would_do_alone(policy):
    """An instance knows nothing of the others: alone with its requests it does the same, to the microsecond."""
    table = requests()
    result = run(table, num_instances=4, routing_policy=policy)
    assert (result.status == RequestStatus.COMPLETED).all()
    content = table.content
    for i in range(4):
        rows = np.flatnonzero(result.instance == i)
        part = RequestTable(
            table.arrival_us[rows],
            table.input_tokens[rows],
            table.output_tokens[rows],
            TokenStreams(content.stream[rows], content.parent, content.fork_tokens),
        )
        alone = run_engine(part, ENGINE, MODEL)
        columns = ("enqueued_us", "first_scheduled_us", "first_token_us", "finished_us", "num_preemptions")
        for name in (*columns, "cached_tokens", "produced_tokens"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(result, name)[rows], err_msg=name)
        for values, counts in zip(alone.itl_histogram(), result.itl_histogram(instance=i), strict=True):
            np.testing.assert_array_equal(values, counts)
        assert alone.num_steps == result.instances.num_steps[i]
        assert alone.peak_used_blocks == result.instances.peak_used_blocks[i]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_every_time(policy):
    table = requests(count=1_000)
    first, second = (run(table, num_instances=3, routing_policy=policy) for _ in range(2))
    for field in dataclasses.fields(first):
        if field.name != "instances":
            np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name), err_msg=field.name)


def test_round_robin_takes_turns():
    result = run(requests(count=1_000), num_instances=4)
    assert result.instance.tolist() == [i % 4 for i in range(1_000)]


def test_littles_law():
    """Requests in the system on average are throughput times mean time in it, over the whole run."""
    result = run(requests(), num_instances=4, routing_policy="least-loaded")
    arrival_us = requests().arrival_us
    events = np.concatenate([arrival_us, result.finished_us])
    change = np.repeat([1, -1], len(arrival_us))
    order = np.lexsort((change, events))
    in_system = np.cumsum(change[order])[:-1]
    area = (in_system * np.diff(events[order])).sum()
    assert area == (result.finished_us - arrival_us).sum()


def test_latencies_of_the_way_are_part_of_the_wait():
    table = RequestTable(np.array([0, 10_000_000]), np.array([100, 100]), np.array([1, 1]))
    result = run(table, num_instances=2, admission_latency_us=200, routing_latency_us=3_000)
    assert result.enqueued_us.tolist() == [3_200 + 600, 10_003_200 + 600]
    assert result.first_token_us.tolist() == [3_200 + 600 + 6_000, 10_003_200 + 600 + 6_000]


def test_a_token_bucket_by_hand():
    """100 tokens at first, 50 per second: 60 fit, then 40, then nothing until half a second later 25 have come."""
    arrival_us = np.array([0, 1, 2, 500_000, 500_001, 2_500_000, 60_000_000, 60_000_001])
    prompts = np.array([60, 40, 1, 25, 1, 101, 100, 1])
    table = RequestTable(arrival_us, prompts, np.ones(8, np.int64))
    result = run(table, admission_policy="token-bucket", token_bucket_capacity=100.0, token_bucket_refill_rate=50.0)
    admitted = result.status == RequestStatus.COMPLETED
    assert admitted.tolist() == [True, True, False, True, False, False, True, False]
    assert (result.status[~admitted] == RequestStatus.REJECTED).all()
    assert (result.instance[~admitted] == NEVER).all()


def test_who_can_never_fit_takes_no_turn_and_no_tokens():
    table = RequestTable(np.array([0, 1, 2]), np.array([50, 10**6, 50]), np.array([1, 1, 1]))
    options = {"admission_policy": "token-bucket", "token_bucket_capacity": 100.0, "token_bucket_refill_rate": 0.0}
    result = run(table, num_instances=2, **options)
    assert result.status.tolist() == [
        RequestStatus.COMPLETED,
        RequestStatus.REFUSED_NEVER_FITS,
        RequestStatus.COMPLETED,
    ]
    assert result.instance.tolist() == [0, NEVER, 1]


def blis_run(capsys, *words: object) -> str:
    assert main(["run", "--model", LLAMA, *map(str, words)]) == 0
    return capsys.readouterr().out


def targets(capsys, tmp_path, *words: object) -> list[int]:
    """How many requests each of four instances got."""
    path = tmp_path / "results.json"
    blis_run(capsys, "--num-instances", 4, "--results-path", path, *words)
    ids = [entry["instance_id"] for entry in json.loads(path.read_text())["requests"]]
    return [ids.count(f"instance_{i}") for i in range(4)]


def test_weights_move_the_distribution(capsys, tmp_path):
    """At a thousand requests per second what counts most decides where they go: memory fills slowly, queues at once."""
    load = ("--rate", 1000, "--max-prompts", 500, "--routing-policy", "weighted")
    cache = targets(capsys, tmp_path, *load, "--routing-cache-weight", 0.9, "--routing-load-weight", 0.1)
    queue = targets(capsys, tmp_path, *load, "--routing-cache-weight", 0.1, "--routing-load-weight", 0.9)
    assert sum(cache) == sum(queue) == 500
    assert max(queue) - min(queue) < 10 < max(cache) - min(cache)


def anomalies(capsys, *words: object) -> dict[str, int]:
    return json.loads(blis_run(capsys, *words))["anomalies"]


def test_pathological_policies_raise_the_counters(capsys):
    load = ("--num-instances", 4, "--rate", 60, "--max-prompts", 600, "--max-num-running-reqs", 16)
    assert not any(anomalies(capsys, "--num-instances", 4, "--rate", 4, "--max-prompts", 200).values())
    assert anomalies(capsys, *load, "--routing-policy", "always-busiest")["hol_blocking_events"] == 1
    starving = anomalies(capsys, *load, "--priority-policy", "inverted-slo", "--scheduler", "priority-fcfs")
    fair = anomalies(capsys, *load, "--priority-policy", "slo-based", "--scheduler", "priority-fcfs")
    assert starving["priority_inversions"] > 3 * fair["priority_inversions"] > 0
    assert anomalies(capsys, *load, "--admission-policy", "reject-all")["rejected_requests"] == 600


def test_prefix_affinity_keeps_prefixes_together():
    """Each of the twenty groups stays where its first request went, and finds its prefix there."""
    table = requests(rate=20)
    hits = {}
    for policy in ("round-robin", "prefix-affinity"):
        result = run(table, num_instances=4, routing_policy=policy)
        hits[policy] = result.cached_tokens.sum()
        if policy == "prefix-affinity":
            parent = table.content.parent[table.content.stream]
            for group in range(20):
                assert len(set(result.instance[parent == group])) == 1
    assert hits["prefix-affinity"] > hits["round-robin"]


def test_stale_snapshots_make_routers_herd():
    """A router that sees loads of a second ago sends everything of that second to the same few instances."""
    table = requests(count=2_000)
    stale = dict.fromkeys(("queue_depth_refresh_us", "batch_size_refresh_us", "kv_refresh_us"), 1000000)
    fresh = run(table, num_instances=4, routing_policy="least-loaded")
    late = run(table, num_instances=4, routing_policy="least-loaded", **stale)
    assert late.first_token_us.mean() > fresh.first_token_us.mean()


def test_a_cluster_is_part_of_the_python_face():
    outcomes = blis.simulate(
        LLAMA,
        DistributionWorkload(rate=40, num_requests=200),
        cluster=ClusterOptions(num_instances=2, routing_policy="least-loaded"),
    )
    assert sorted(outcomes.requests["instance_id"].unique()) == ["instance_0", "instance_1"]
    assert outcomes.metadata["cluster"]["routing_policy"] == "least-loaded"
