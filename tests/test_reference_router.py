"""The reference cluster's policies and what they see, against figures worked by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from helpers_cluster import cluster, request, seen_by, targets
from reference.block_pool import ContentKeys
from reference.cluster import simulate_cluster
from reference.records import RefOutcome, RefSnapshot
from reference.router import SCORERS, PrefixTable, always_busiest, least_loaded, weighted_scores


def test_columns_of_a_busy_instance() -> None:
    # One at a time. b has a's prompt: 8 of its 9 tokens are in the cache; c waits behind b.
    engine = {"total_kv_blocks": 10, "max_num_running_reqs": 1}
    trace = [request("a", prompt=9), request("b", 1, prompt=9, like="a"), request("c", 2), request("d", 1500)]
    result = simulate_cluster(trace, cluster(instance=engine))

    # b holds 3 of 9 blocks from 1090 on.
    assert seen_by("d", result) == [RefSnapshot(1, 1, 0, 6, 3 / 9, 8 / 18)]
    # a's step: b and c come later; b's: c waits, and d comes later; c's: d waits; d's: nobody does.
    assert result.instances[0].queue_length_sum == 0 + 1 + 1 + 0


def test_cache_hit_rate_counts_resumed_requests_with_their_output() -> None:
    # 3 blocks: b is preempted when a takes the third, and comes back at 5480 with 4 of its 5 tokens in the cache.
    trace = [request("a", prompt=4, output=5), request("b", prompt=4, output=5), request("c", 5481)]
    result = simulate_cluster(trace, cluster(instance={"total_kv_blocks": 4}))

    assert result.instances[0].steps[5].resumed == {"b": 4}
    assert seen_by("c", result) == [RefSnapshot(0, 1, 0, 1, 2 / 3, 4 / 13)]


def test_token_bucket() -> None:
    # Holds 10 tokens and gains one per µs.
    trace = [
        request("a", 0),  # 10 - 8
        request("b", 5),  # 7: too few
        request("c", 6),  # 8 - 8
        request("d", 100, prompt=11),  # never more than 10
        request("e", 100, prompt=10),  # 10 - 10
        request("f", 100, prompt=1),
    ]
    result = simulate_cluster(
        trace, cluster(admission_policy="token-bucket", token_bucket_capacity=10.0, token_bucket_refill_rate=1e6)
    )

    assert [admission.admitted for admission in result.admissions] == [True, False, True, False, True, False]
    assert result.requests["b"] == RefOutcome(status="rejected")
    assert targets(result) == "a0 c0 e0"


def test_reject_all() -> None:
    result = simulate_cluster([request("a", 7)], cluster(2, admission_policy="reject-all"))

    assert result.requests == {"a": RefOutcome(status="rejected")}
    assert (result.routings, result.end_us, [one.steps for one in result.instances]) == ([], 0, [[], []])


def test_periodic_signals_are_as_old_as_their_last_reading() -> None:
    # One at a time: a runs until 1080, b until 2160. Queue depths are read by the first decision at or after 1000
    # and the first at least 1000 after that one; batch sizes and KV are live.
    arrivals = {"a": 0, "b": 10, "c": 20, "d": 1010, "e": 1500, "f": 2009, "g": 2010}
    trace = [request(name, arrival_us) for name, arrival_us in arrivals.items()]
    result = simulate_cluster(trace, cluster(instance={"max_num_running_reqs": 1}, queue_depth_refresh_us=1000))

    seen = {routing.id: routing.seen[0] for routing in result.routings}
    assert {name: one.queue_depth for name, one in seen.items()} == {
        "a": 0,
        "b": 0,
        "c": 0,
        "d": 2,  # b and c
        "e": 2,
        "f": 2,
        "g": 4,  # c, d, e and f
    }
    assert [one.batch_size for one in seen.values()] == [0, 1, 1, 1, 1, 1, 1]
    assert [one.free_blocks for one in seen.values()] == [99, 97, 97, 97, 97, 97, 97]


def test_an_admission_refreshes_what_the_next_routing_sees() -> None:
    # a is routed at 500 and runs until 1580. b: admitted at 1000, routed at 1500; c: admitted at 1800.
    config = cluster(routing_latency_us=500, batch_size_refresh_us=900, kv_refresh_us=1000)
    result = simulate_cluster([request("a"), request("b", 1000, prompt=12), request("c", 1800)], config)

    nothing = RefSnapshot(0, 0, 0, free_blocks=0, kv_utilization=0.0, cache_hit_rate=0.0)
    at_1000 = RefSnapshot(0, 1, 0, free_blocks=97, kv_utilization=2 / 99, cache_hit_rate=0.0)
    assert [decision.seen for decision in result.admissions] == [[nothing], [at_1000], [at_1000]]
    # At 2300 batch sizes and KV are read again: b runs from 1580 on, in three blocks.
    at_2300 = dataclasses.replace(at_1000, free_blocks=96, kv_utilization=3 / 99)
    assert [decision.seen for decision in result.routings] == [[nothing], [at_1000], [at_2300]]
    assert [decision.clock_us for decision in result.routings] == [500, 1500, 2300]


def test_periodic_cache_contents() -> None:
    config = cluster(routing_policy="weighted", routing_scorers=(("precise-prefix-cache", 1.0),), kv_refresh_us=1000)
    trace = [request("a"), request("b", 999, like="a"), request("c", 1000, like="a")]
    result = simulate_cluster(trace, config)

    assert [routing.seen[0].cached_blocks for routing in result.routings] == [0, 0, 2]
    assert [admission.seen[0].cached_blocks for admission in result.admissions] == [0, 0, 0]


def snapshots(*loads: tuple[int, int, int], **columns: list[Any]) -> list[RefSnapshot]:
    """Snapshots of (queue depth, batch size, pending) and further columns."""
    rows = [RefSnapshot(*one, 9, 0.0, 0.0) for one in loads]
    return [dataclasses.replace(row, **{k: v[i] for k, v in columns.items()}) for i, row in enumerate(rows)]


def test_load_counts_waiting_running_and_pending_and_the_first_of_equals_is_chosen() -> None:
    seen = snapshots((2, 2, 0), (1, 1, 1), (0, 0, 3), (4, 0, 0))

    assert least_loaded(seen) == 1
    assert always_busiest(seen) == 0


@pytest.mark.parametrize(
    ("name", "seen", "scores"),
    [
        ("queue-depth", snapshots((1, 9, 1), (6, 0, 0), (3, 0, 0)), [1.0, 0.0, 0.75]),
        ("queue-depth", snapshots((2, 0, 0), (1, 5, 1)), [1.0, 1.0]),
        ("kv-utilization", snapshots((0, 0, 0), (0, 0, 0), kv_utilization=[0.25, 1.0]), [0.75, 0.0]),
        ("load-balance", snapshots((0, 0, 0), (1, 1, 1)), [1.0, 0.25]),
        ("active-requests", snapshots((1, 1, 0), (1, 2, 1), (0, 1, 0)), [0.5, 0.0, 0.75]),
        ("active-requests", snapshots((0, 0, 0), (0, 0, 0)), [1.0, 1.0]),
        ("prefix-affinity", snapshots((0, 0, 0), (0, 0, 0), prefix_blocks=[3, 0]), [0.75, 0.0]),
        ("precise-prefix-cache", snapshots((0, 0, 0), (0, 0, 0), cached_blocks=[1, 4]), [0.25, 1.0]),
    ],
)
def test_scorers_of_a_prompt_of_four_blocks(name: str, seen: list[RefSnapshot], scores: list[float]) -> None:
    assert SCORERS[name](seen, 4) == scores


@pytest.mark.parametrize("name", ["prefix-affinity", "precise-prefix-cache"])
def test_prompts_below_one_block_have_no_prefix(name: str) -> None:
    assert SCORERS[name](snapshots((0, 0, 0)), 0) == [0.0]


def test_weights_are_shares_of_their_sum() -> None:
    seen = snapshots((0, 1, 0), (3, 0, 0), kv_utilization=[0.5, 0.0])

    # 3/4 (1 - u) + 1/4 / (1 + load)
    assert weighted_scores(seen, 4, [("kv-utilization", 3.0), ("load-balance", 1.0)]) == [0.5, 0.8125]


def test_weighted_routing_tells_its_scores_and_prefers_the_first_of_equals() -> None:
    result = simulate_cluster(
        [request("a"), request("b")],
        cluster(2, routing_policy="weighted", routing_scorers=(("load-balance", 2.0), ("prefix-affinity", 0.0))),
    )

    assert [(routing.target, routing.scores) for routing in result.routings] == [(0, [1.0, 1.0]), (1, [0.5, 1.0])]


@pytest.mark.parametrize(("policy", "expected"), [("least-loaded", "a0 b1 c0"), ("always-busiest", "a0 b0 c0")])
def test_policies_by_load(policy: str, expected: str) -> None:
    result = simulate_cluster([request("a"), request("b"), request("c")], cluster(2, routing_policy=policy))

    assert targets(result) == expected


def test_prefix_affinity_follows_the_deepest_known_block() -> None:
    trace = [
        request("a", 0, prompt=8),  # 0, where nothing is loaded
        request("b", 1, prompt=9, like="a"),  # two blocks are a's
        request("c", 2, prompt=3, like="a"),  # no full block: least loaded, and nothing to remember
        request("d", 3, prompt=16, like="a"),  # forced to 1, with all its four blocks
        request("e", 4, prompt=12, like="a"),  # its third block was last sent to 1, its first and second as well
    ]
    result = simulate_cluster(trace, cluster(2, routing_policy="prefix-affinity", forced={"d": 1}))

    assert targets(result) == "a0 b0 c1 d1 e1"
    assert [[one.prefix_blocks for one in routing.seen] for routing in result.routings] == [
        [0, 0],
        [2, 0],
        [0, 0],
        [2, 0],
        [0, 3],
    ]
    assert all(one.prefix_blocks == one.cached_blocks == 0 for admission in result.admissions for one in admission.seen)


def test_prefix_table_tells_the_depth_per_instance() -> None:
    table = PrefixTable(10)
    table.record([1, 2, 3, 4], 0)
    table.record([1, 2], 1)

    assert [table.depth([1, 2, 3], i) for i in range(3)] == [3, 2, 0]
    assert [table.deepest(keys) for keys in ([1, 2, 3, 9], [1, 2], [8, 9], [])] == [0, 1, None, None]


def test_prefix_table_forgets_last_blocks_first_and_lookups_keep_nothing() -> None:
    table = PrefixTable(4)
    table.record([1, 2], 0)
    table.depth([1, 2], 0)
    table.record([3, 4, 5], 1)
    assert list(table.instance_of) == [1, 5, 4, 3]

    table.record([1], 1)
    assert list(table.instance_of.items()) == [(5, 1), (4, 1), (3, 1), (1, 1)]

    table.record([1, 2, 6, 7, 8], 0)
    assert list(table.instance_of) == [7, 6, 2, 1]


def test_content_keys_of_full_blocks() -> None:
    keys = ContentKeys()
    ab, other = keys.full_blocks((1, 2, 3, 4, 5), 2), keys.full_blocks((9, 2, 3, 4), 2)

    assert keys.full_blocks((1, 2, 3, 4), 2) == ab
    assert len({*ab, *other}) == 4
    assert keys.full_blocks((1,), 2) == []


@pytest.mark.parametrize(("caching", "cached_blocks"), [(True, [2, 0]), (False, [0, 0])])
def test_precise_prefix_cache_counts_every_full_block(caching: bool, cached_blocks: list[int]) -> None:
    config = cluster(
        2,
        routing_policy="weighted",
        routing_scorers=(("precise-prefix-cache", 1.0),),
        instance={"enable_prefix_caching": caching},
    )
    # Published when the step starts that fills them; b is a's prompt once more.
    result = simulate_cluster([request("a"), request("b", 1, like="a")], config)

    assert [one.cached_blocks for one in seen_by("b", result)] == cached_blocks
    assert result.routings[1].scores == [blocks / 2 for blocks in cached_blocks]


def test_precise_prefix_cache_stops_at_the_first_evicted_block() -> None:
    # 4 blocks. a's 3 are freed last block first; b takes the one never used and a's third.
    config = cluster(
        routing_policy="weighted",
        routing_scorers=(("precise-prefix-cache", 1.0),),
        instance={"total_kv_blocks": 5},
    )
    trace = [
        request("a", prompt=12),
        request("b", 2000, prompt=8),
        request("c", 4000, prompt=12, like="a"),
        request("d", 4000, prompt=3, like="a"),
    ]
    result = simulate_cluster(trace, config)

    assert [seen_by(name, result)[0].cached_blocks for name in "cd"] == [2, 0]
