"""The reference cluster's clock against figures worked by hand, and against the reference engine per instance."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest
from helpers_cluster import cluster, request, targets
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.cluster import simulate_cluster
from reference.engine import StallError, simulate
from reference.records import (
    RefAdmission,
    RefClusterConfig,
    RefClusterResult,
    RefConfig,
    RefOutcome,
    RefRouting,
    RefSnapshot,
)
from reference.router import SCORERS
from reference.scheduler import Scheduler
from test_engine_random import Case, cases, reference, reference_config


def statuses(result: RefClusterResult) -> dict[str, str]:
    return {id_: outcome.status for id_, outcome in result.requests.items()}


IDLE = RefSnapshot(0, 0, 0, free_blocks=99, kv_utilization=0.0, cache_hit_rate=0.0)


def test_the_way_of_a_request_takes_both_latencies_and_alpha() -> None:
    config = cluster(admission_latency_us=100, routing_latency_us=200, instance={"alpha": (20.9, 2.5, 0.0)})
    result = simulate_cluster([request("a", 50, output=3)], config)

    assert result.admissions == [RefAdmission("a", 150, True, [IDLE])]
    assert result.routings == [RefRouting("a", 350, 0, None, [IDLE])]
    # Visible at 350 + trunc(20.9 + 20), then steps of 1080, 1100 and 1100 µs.
    assert result.requests["a"] == RefOutcome(
        status="completed",
        visible_us=390,
        first_scheduled_us=390,
        first_started_us=390,
        first_token_us=1470,
        finish_us=3670,
        n_out=3,
        itls=[1100, 1100],
        instance=0,
    )
    assert result.end_us == 3670
    assert (result.instances[0].min_free_blocks, result.instances[0].queue_length_sum) == (96, 0)


def test_refused_requests_take_neither_a_turn_nor_tokens() -> None:
    config = cluster(3, instance={"total_kv_blocks": 5, "max_model_len": 19}, admission_policy="token-bucket")
    trace = [request("a"), request("b", prompt=17), request("c", prompt=20), request("d"), request("e"), request("f")]
    result = simulate_cluster(trace, dataclasses.replace(config, token_bucket_capacity=32.0))

    assert targets(result) == "a0 d1 e2 f0"
    assert [admission.id for admission in result.admissions] == ["a", "d", "e", "f"]
    assert result.requests["b"] == RefOutcome(status="refused_never_fits")
    assert result.requests["c"] == RefOutcome(status="refused_too_long")


def test_equal_moments_go_by_place_in_the_input() -> None:
    trace = [request("a", 10), request("b", 5), request("c", 10), request("d", 5)]
    result = simulate_cluster(trace, cluster(4))

    assert [admission.id for admission in result.admissions] == ["b", "d", "a", "c"]
    assert targets(result) == "b0 d1 a2 c3"


def test_equal_enqueues_go_by_place_in_the_input() -> None:
    # Both visible at 100: the later arrival has the shorter prompt and stands first in the input.
    trace = [request("b", 96, prompt=4), request("a", 92, prompt=8)]
    result = simulate_cluster(trace, cluster(instance={"alpha": (0.0, 1.0, 0.0)}))

    assert targets(result) == "a0 b0"
    assert result.instances[0].steps[0].sched == [("b", 4), ("a", 8)]


def test_enqueued_at_the_end_of_a_step_is_part_of_the_next() -> None:
    result = simulate_cluster([request("a", output=2), request("b", 1080), request("c", 1081)], cluster())

    steps = result.instances[0].steps
    assert [(step.t, step.sched) for step in steps] == [
        (0, [("a", 8)]),
        (1080, [("a", 1), ("b", 8)]),  # 1180 µs
        (2260, [("c", 8)]),
    ]


def test_instances_step_on_their_own() -> None:
    result = simulate_cluster([request("a", output=2), request("b", 500), request("c", 600, prompt=4)], cluster(2))

    assert [[(step.t, step.dt, step.sched) for step in one.steps] for one in result.instances] == [
        [(0, 1080, [("a", 8)]), (1080, 1140, [("a", 1), ("c", 4)])],
        [(500, 1080, [("b", 8)])],
    ]
    assert {id_: outcome.instance for id_, outcome in result.requests.items()} == {"a": 0, "b": 1, "c": 0}
    assert result.end_us == 2220


@pytest.mark.parametrize(
    ("arrival_us", "pending", "batch_size", "free_blocks"),
    [
        (0, 0, 0, 99),  # a is not routed before this decision
        (99, 1, 0, 99),
        (100, 1, 0, 99),  # a becomes visible at 100, after this decision
        (101, 0, 1, 97),
        (1180, 0, 1, 97),  # its step ends at 1180, after this decision
        (1181, 0, 0, 99),
    ],
)
def test_a_decision_sees_what_happened_before_its_moment(
    arrival_us: int, pending: int, batch_size: int, free_blocks: int
) -> None:
    trace = [request("a"), request("b", arrival_us)]
    result = simulate_cluster(trace, cluster(instance={"alpha": (100.0, 0.0, 0.0)}))

    (seen,) = result.admissions[1].seen
    assert (seen.queue_depth, seen.pending, seen.batch_size, seen.free_blocks) == (0, pending, batch_size, free_blocks)


def test_a_routing_sees_the_routings_before_it_at_the_same_moment() -> None:
    result = simulate_cluster([request("a"), request("b"), request("c")], cluster(2))

    assert [[one.pending for one in routing.seen] for routing in result.routings] == [[0, 0], [1, 0], [1, 1]]


def test_forced_targets_leave_the_policy_its_turn() -> None:
    trace = [request("a"), request("b"), request("c")]
    result = simulate_cluster(trace, cluster(3, forced={"b": 2}))

    assert targets(result) == "a0 b2 c2"
    assert [one.steps[0].sched if one.steps else [] for one in result.instances] == [
        [("a", 8)],
        [],
        [("b", 8), ("c", 8)],
    ]


@pytest.mark.parametrize(
    ("horizon_us", "status", "instance", "visible_us", "num_routings"),
    [
        (49, "not_arrived", None, None, 0),
        (50, "waiting", None, None, 0),
        (349, "waiting", None, None, 0),
        (350, "waiting", 0, None, 1),
        (389, "waiting", 0, None, 1),
        (390, "running", 0, 390, 1),
        (1469, "running", 0, 390, 1),
    ],
)
def test_horizon_on_the_way_of_a_request(
    horizon_us: int, status: str, instance: int | None, visible_us: int | None, num_routings: int
) -> None:
    config = cluster(
        admission_latency_us=100,
        routing_latency_us=200,
        instance={"alpha": (40.0, 0.0, 0.0), "horizon_us": horizon_us},
    )
    result = simulate_cluster([request("a", 50)], config)

    outcome = result.requests["a"]
    assert (outcome.status, outcome.instance, outcome.visible_us) == (status, instance, visible_us)
    assert len(result.routings) == num_routings
    assert result.end_us == horizon_us


def test_horizon_that_cuts_nothing_is_not_the_end() -> None:
    result = simulate_cluster([request("a")], cluster(2, instance={"horizon_us": 1080}))

    assert (statuses(result), result.end_us) == ({"a": "completed"}, 1080)
    later = simulate_cluster([request("a")], cluster(2, instance={"horizon_us": 5000}))
    assert later.end_us == 1080


def test_horizon_cuts_one_instance_and_not_the_other() -> None:
    # Instance 0 ends at 1080; instance 1 is at work from 900 on, and c waits there.
    engine = {"horizon_us": 1500, "max_num_running_reqs": 1}
    trace = [request("a"), request("b", 900), request("c", 900)]
    result = simulate_cluster(trace, cluster(2, instance=engine, forced={"c": 1}))

    assert statuses(result) == {"a": "completed", "b": "running", "c": "waiting"}
    (cut,) = result.instances[1].steps
    assert (cut.t, cut.dt, cut.finished, cut.free, cut.free_end, cut.wait) == (900, 1080, [], 97, 97, 1)
    assert [one.queue_length_sum for one in result.instances] == [0, 0]  # the cut step gives nothing
    assert result.end_us == 1500


def test_stall_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scheduler, "_may_enter", lambda *_: False)
    with pytest.raises(StallError, match="at 5 µs nothing can be scheduled"):
        simulate_cluster([request("a", 5)], cluster(2))


# ---- against the reference engine


@settings(max_examples=200)
@given(cases)
def test_one_instance_is_the_single_engine(case: Case) -> None:
    expected, config = reference(case), RefClusterConfig(reference_config(case))
    if expected is None:
        with pytest.raises(StallError):
            simulate_cluster(case.requests, config)
        return
    result = simulate_cluster(case.requests, config)

    (instance,) = result.instances
    assert instance.steps == expected.steps
    assert instance.min_free_blocks == expected.min_free_blocks
    assert without_instances(result) == expected.requests
    assert result.end_us == expected.end_us


def without_instances(result: RefClusterResult) -> dict[str, RefOutcome]:
    return {id_: dataclasses.replace(outcome, instance=None) for id_, outcome in result.requests.items()}


POLICIES = ("round-robin", "least-loaded", "always-busiest", "prefix-affinity", "weighted")


def random_cluster(rng: Random, instance: RefConfig) -> RefClusterConfig:
    return RefClusterConfig(
        instance,
        num_instances=rng.randint(1, 4),
        admission_policy=rng.choice(["always-admit", "token-bucket"]),
        admission_latency_us=rng.choice([0, 50, 3_000]),
        token_bucket_capacity=rng.choice([20.0, 300.0]),
        token_bucket_refill_rate=rng.choice([100.0, 10_000.0]),
        routing_policy=rng.choice(POLICIES),
        routing_latency_us=rng.choice([0, 50, 3_000]),
        routing_scorers=tuple((name, rng.choice([0.1, 0.3, 1.0])) for name in rng.sample(sorted(SCORERS), 3)),
        prefix_table_entries=rng.choice([3, 1000]),
        queue_depth_refresh_us=rng.choice([0, 2_000]),
        batch_size_refresh_us=rng.choice([0, 2_000]),
        kv_refresh_us=rng.choice([0, 2_000]),
    )


@settings(max_examples=200)
@given(cases, st.integers(0, 2**40))
def test_every_instance_is_a_single_engine_for_what_is_routed_there(case: Case, seed: int) -> None:
    config = random_cluster(Random(seed), reference_config(case))
    try:
        result = simulate_cluster(case.requests, config)
    except StallError:
        return  # a livelock, judged elsewhere

    latency_us = config.admission_latency_us + config.routing_latency_us
    for index, instance in enumerate(result.instances):
        routed = [
            dataclasses.replace(one, arrival_us=one.arrival_us + latency_us)
            for one in case.requests
            if result.requests[one.id].instance == index
        ]
        alone = simulate(routed, config.instance)
        assert instance.steps == alone.steps
        assert {one.id: without_instances(result)[one.id] for one in routed} == alone.requests
