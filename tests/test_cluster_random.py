"""The compiled cluster against the slow reference cluster: every decision, what it saw, every timestamp.

Random small clusters: every policy, scorers of every kind, latencies, stale snapshots, small prefix tables, forced
targets, front ends with a capacity, a horizon, over the random workloads and schedulers of test_engine_random.
"""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

import numpy as np
import pytest
from helpers_engine import all_aggregates_model, assert_served_alike, logged_steps, run_engine_on, stamp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.cluster import simulate_cluster
from reference.engine import StallError
from reference.records import RefClusterConfig, RefClusterResult, RefSnapshot
from test_engine_random import Case, random_case, reference_config, with_loop

from blis._core.codes import NONE, DecisionKind, StepLog, ViewColumn, ViewNumber
from blis.config.schema import SCORERS, ClusterOptions
from blis.errors import EngineError
from blis.simulation import Run, control_of
from blis.simulation.run import Decisions

ADMISSIONS = ["always-admit"] * 6 + ["token-bucket"] * 3 + ["reject-all"]


@dataclasses.dataclass
class ClusterCase:
    case: Case
    options: ClusterOptions
    forced: tuple[int, int] = (NONE, NONE)
    intake_us: int = 0


def random_cluster(seed: int, count: int, longest: int) -> ClusterCase:
    case = random_case(seed, count, longest)
    rng = Random(f"cluster {seed}")
    routing = rng.choice(["round-robin", "least-loaded", "always-busiest", "prefix-affinity", "weighted", "weighted"])
    names = rng.sample(SCORERS, rng.randint(1, len(SCORERS)))
    scorers = tuple((name, rng.choice([0.5, 1.0, 2.0, 3.0])) for name in names)
    options = ClusterOptions(
        num_instances=rng.choice([1, 2, 2, 3, 5]),
        admission_policy=rng.choice(ADMISSIONS),
        admission_latency_us=rng.choice([0, 0, 7, 3_000]),
        token_bucket_capacity=float(rng.choice([1, longest, 10 * longest])),
        token_bucket_refill_rate=float(rng.choice([0, 10, 1_000, 100_000])),
        routing_policy=routing,
        routing_latency_us=rng.choice([0, 0, 5, 2_000]),
        routing_scorers=scorers if routing == "weighted" and rng.random() < 0.8 else None,
        prefix_table_entries=rng.choice([1, 3, 10, 2**20]),
        queue_depth_refresh_us=rng.choice([0, 0, 1, 1_000, 50_000]),
        batch_size_refresh_us=rng.choice([0, 0, 1, 1_000, 50_000]),
        kv_refresh_us=rng.choice([0, 0, 1, 1_000, 50_000]),
    )
    forced = (NONE, NONE)
    if rng.random() < 0.2:
        forced = (rng.randrange(count), rng.randrange(options.num_instances))
    return ClusterCase(case, options, forced, rng.choice([0, 0, 1, 700, 20_000]))


def random_closed_loop(seed: int, count: int, longest: int) -> ClusterCase:
    """The same, and half of the requests wait for an earlier one."""
    cluster = random_cluster(seed, count, longest)
    rng = Random(f"closed loop {seed}")
    least_us = rng.choice([0, 0, 700, 20_000, 1_000_000])  # instances may be so far apart
    free = list(range(count))  # nobody waits for them yet
    for i, request in enumerate(cluster.case.requests):
        earlier = [j for j in free if j < i]
        if earlier and rng.random() < rng.choice([0.2, 0.8]):
            after = rng.choice(earlier)
            free.remove(after)
            think_us = least_us + rng.choice([0, 0, 1, rng.randint(0, 3_000), rng.randint(0, 100_000)])
            cluster.case.requests[i] = dataclasses.replace(
                request, arrival_us=0, after=after, think_us=think_us, begins=rng.random() < 0.3
            )
    return cluster


def random_prefixes(seed: int, count: int) -> ClusterCase:
    """Prompts are beginnings, of any length, of a few texts that part from each other; a table holds few blocks."""
    cluster = random_cluster(seed, count, 40)
    rng = Random(f"prefixes {seed}")
    texts: list[tuple[int, ...]] = []
    for number in range(rng.randint(1, 4)):
        stem = rng.choice(texts)[: rng.randint(0, 60)] if texts else ()
        texts.append(stem + tuple(range(100 * number, 100 * number + 60 - len(stem))))
    for i, request in enumerate(cluster.case.requests):
        prompt = rng.choice(texts)[: rng.randint(1, 60)]
        cluster.case.requests[i] = dataclasses.replace(request, prompt=prompt, output=request.output[:5])
    options = dataclasses.replace(
        cluster.options,
        admission_policy="always-admit",
        num_instances=rng.choice([2, 3, 5]),
        routing_policy=rng.choice(["prefix-affinity", "weighted"]),
        routing_scorers=(("prefix-affinity", 1.0), ("load-balance", rng.choice([0.1, 2.0]))),
        prefix_table_entries=rng.choice([1, 2, 5, 10, 25, 60, 2**20]),
    )
    return ClusterCase(cluster.case, options)


def with_loops(cluster: ClusterCase, seed: int) -> ClusterCase:
    """The same, whose instances have engine loops, and mostly plan ahead."""
    return dataclasses.replace(cluster, case=with_loop(cluster.case, seed))


def random_loop_cluster(seed: int, count: int, longest: int) -> ClusterCase:
    return with_loops(random_cluster(seed, count, longest), seed)


def random_closed_loop_of_loops(seed: int, count: int, longest: int) -> ClusterCase:
    return with_loops(random_closed_loop(seed, count, longest), seed)


any_size = st.integers(0, 2**40), st.integers(1, 24), st.sampled_from([2, 5, 12, 40])
prefixes = st.builds(random_prefixes, st.integers(0, 2**40), st.integers(2, 40))
closed_loops = st.one_of(st.builds(make, *any_size) for make in (random_closed_loop, random_closed_loop_of_loops))
clusters = st.one_of(st.builds(make, *any_size) for make in (random_cluster, random_loop_cluster))


def reference(cluster: ClusterCase) -> RefClusterResult | None:
    """What should happen; None: a livelock."""
    case, options = cluster.case, dataclasses.asdict(cluster.options)
    cache, load = options.pop("routing_cache_weight"), options.pop("routing_load_weight")
    options["routing_scorers"] = options["routing_scorers"] or (("kv-utilization", cache), ("load-balance", load))
    request, target = cluster.forced
    forced = {} if request == NONE else {case.requests[request].id: target}
    try:
        instance = dataclasses.replace(reference_config(case), intake_us=cluster.intake_us)
        return simulate_cluster(case.requests, RefClusterConfig(instance, forced=forced, **options))
    except StallError:
        return None


def compiled(cluster: ClusterCase, **how: Any) -> Run:
    case = cluster.case
    model = all_aggregates_model(case.last_prompt_token_is_decode)
    model = dataclasses.replace(model, intake_us=cluster.intake_us)
    control = control_of(cluster.options, case.engine)
    how |= {"horizon_us": case.horizon_us, "forced": cluster.forced}
    return run_engine_on(case.requests, case.engine, model, control=control, **how)


def assert_equal(cluster: ClusterCase, expected: RefClusterResult | None, *, tracing: bool, **how: Any) -> None:
    chunks: list[Decisions] = []
    if tracing:
        how["decisions"] = lambda chunk: chunks.append(Decisions(*(part.copy() for part in chunk)))
    if expected is None:
        with pytest.raises(EngineError, match="livelock"):
            compiled(cluster, **how)
        return
    run = compiled(cluster, **how)
    if tracing:
        assert_decisions_equal(cluster, expected, chunks)
    result = run.result()
    assert result.end_us == expected.end_us

    for i, request in enumerate(cluster.case.requests):
        want = expected.requests[request.id]
        assert_served_alike(result, i, want)
        if want.arrival_us is not None or request.after >= 0:
            assert stamp(result.arrival_us[i]) == want.arrival_us
        assert stamp(result.instance[i]) == want.instance
    for index, instance in enumerate(expected.instances):
        gaps, counts = np.unique(
            [gap for want in expected.requests.values() if want.instance == index for gap in want.itls],
            return_counts=True,
        )
        values, found = result.itl_histogram(instance=index)
        assert dict(zip(values.tolist(), found.tolist(), strict=True)) == dict(
            zip(gaps.astype(int).tolist(), counts.tolist(), strict=True)
        )
        assert result.usable_blocks - result.instances.peak_used_blocks[index] == instance.min_free_blocks
        assert result.instances.queue_length_sum[index] == instance.queue_length_sum


def assert_decisions_equal(cluster: ClusterCase, expected: RefClusterResult, chunks: list[Decisions]) -> None:
    number = {request.id: i for i, request in enumerate(cluster.case.requests)}
    rows = [row for chunk in chunks for row in zip(*(part for part in chunk), strict=True)]
    admissions = [row for row in rows if row[0][0] == DecisionKind.ADMISSION]
    routings = [row for row in rows if row[0][0] == DecisionKind.ROUTING]
    for (decision, columns, numbers), want in zip(admissions, expected.admissions, strict=True):
        assert tuple(decision[1:]) == (number[want.id], want.clock_us, int(want.admitted))
        assert seen(columns, numbers) == want.seen
    for (decision, columns, numbers), want in zip(routings, expected.routings, strict=True):
        assert tuple(decision[1:]) == (number[want.id], want.clock_us, want.target)
        assert seen(columns, numbers) == want.seen
        scores = None if np.isnan(numbers[ViewNumber.SCORE]).any() else numbers[ViewNumber.SCORE].tolist()
        assert scores == want.scores
    times = [row[0][2] for row in rows]
    assert times == sorted(times)


def seen(columns: Any, numbers: Any) -> list[RefSnapshot]:
    integers = [ViewColumn.QUEUE_DEPTH, ViewColumn.BATCH_SIZE, ViewColumn.PENDING_REQUESTS, ViewColumn.FREE_KV_BLOCKS]
    return [
        RefSnapshot(
            *(int(columns[c, i]) for c in integers),
            *(float(numbers[c, i]) for c in (ViewNumber.KV_UTILIZATION, ViewNumber.CACHE_HIT_RATE)),
            *(int(columns[c, i]) for c in (ViewColumn.PREFIX_BLOCKS, ViewColumn.CACHED_BLOCKS)),
        )
        for i in range(columns.shape[1])
    ]


@settings(max_examples=1000)
@given(clusters)
def test_every_time_and_decision_is_the_reference_clusters(cluster):
    assert_equal(cluster, reference(cluster), tracing=True)


@settings(max_examples=500)
@given(clusters)
@pytest.mark.slow
def test_nothing_changes_if_nobody_looks_on(cluster):
    """Without a trace a policy that looks at nothing leaves each instance to itself."""
    assert_equal(cluster, reference(cluster), tracing=False)


@settings(max_examples=1000)
@given(closed_loops)
@pytest.mark.slow
def test_requests_that_wait_for_others(cluster):
    assert_equal(cluster, reference(cluster), tracing=cluster.case.requests[0].arrival_us % 2 == 0)


@settings(max_examples=500)
@given(prefixes)
@pytest.mark.slow
def test_prompts_that_begin_alike(cluster):
    """What the table of prefixes knows is what one entry per block would: `seen` covers it."""
    assert_equal(cluster, reference(cluster), tracing=True)


@settings(max_examples=300)
@given(clusters)
def test_every_step_is_the_reference_clusters(cluster):
    expected = reference(cluster)
    if expected is None:
        return
    run = compiled(cluster, log_steps=StepLog.ALL)
    number = {request.id: i for i, request in enumerate(cluster.case.requests)}
    for index, instance in enumerate(expected.instances):
        steps = logged_steps(run, index)
        cut = len(instance.steps) - len(steps)  # steps that the horizon cuts have no end
        assert 0 <= cut <= 1 + cluster.case.engine.async_scheduling
        for got, want in zip(steps, instance.steps, strict=False):
            assert (got.t, got.dt, got.free, got.free_end) == (want.t, want.dt, want.free, want.free_end)
            assert got.sched == [(number[name], n) for name, n in want.sched]


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 4_000, 1_000))
def test_many_more(first_seed):
    for seed in range(first_seed, first_seed + 500):
        make = random_cluster if seed % 3 else random_closed_loop
        cluster = make(seed, 1 + seed % 60, (2, 5, 12, 40, 90)[seed % 5])
        for each in (cluster, with_loops(cluster, seed)):
            assert_equal(each, reference(each), tracing=seed % 2 == 0)
