"""How fast clusters are: a million requests over many instances, under each policy.

    pytest benchmarks/bench_cluster.py

Timed is the engine alone, decisions included, in CPU seconds; it and the policies are compiled before. Each instance
gets 20 requests per second and has 60,000 KV blocks. Ratios are between runs that take turns.
"""

import time
from dataclasses import replace

import numpy as np
import pytest
from workloads import AMPLE, NUM_REQUESTS, blackbox, closed_sessions, independent, prefix_groups

import blis
from blis.config.schema import ClusterOptions
from blis.simulation import Run, control_of

ENGINE = replace(AMPLE, total_kv_blocks=60_000)
RATE = 20
ROUNDS = 3
SCORERS = ("prefix-affinity", "queue-depth", "kv-utilization", "load-balance")


def ready_run(table, num_instances=1, engine=ENGINE, **options):
    """A run of which only `Run.advance` is left to do."""
    control = control_of(ClusterOptions(num_instances=num_instances, **options), engine)
    run = Run(table, engine, blackbox(), control)
    run.load()
    return run


def cpu_s(run, tokens=514_322_711, cached_tokens=None):
    """What a run costs; all requests must be completed, with so many tokens."""
    began = time.process_time()
    run.advance()
    seconds = time.process_time() - began
    result = run.result()
    assert np.count_nonzero(result.finished_us >= 0) == NUM_REQUESTS
    assert result.produced_tokens.sum() == tokens
    assert cached_tokens in (None, result.cached_tokens.sum())
    return seconds


def least_in_turns(*starts, rounds=ROUNDS, **expected):
    """The least CPU time of each kind of run; they take turns, so that all meet the same moods of the machine."""
    seconds = [[cpu_s(start(), **expected) for start in starts] for _ in range(rounds)]
    return [min(column) for column in zip(*seconds, strict=True)]


@pytest.mark.parametrize(
    ("num_instances", "policy"),
    [
        *((16, policy) for policy in ("round-robin", "least-loaded", "weighted", "prefix-affinity")),
        (64, "weighted"),
    ],
)
def test_policies(benchmark, record, num_instances, policy):
    table, lone = independent(RATE * num_instances), independent(RATE)

    def measure():
        return least_in_turns(lambda: ready_run(lone), lambda: ready_run(table, num_instances, routing_policy=policy))

    single_s, cluster_s = benchmark.pedantic(measure, rounds=1)
    measured = {"cpu_s": cluster_s, "times_single": cluster_s / single_s}
    budget = {"times_single": 3.0} if num_instances == 16 else {}
    record(f"engine: {num_instances} instances, {policy}", measured, budget, single_s=single_s)


def test_always_busiest(benchmark, record):
    """All at one instance, the worst that routing can do; at a rate that this one can bear."""
    lone = independent(RATE)

    def measure():
        return least_in_turns(lambda: ready_run(lone), lambda: ready_run(lone, 16, routing_policy="always-busiest"))

    single_s, cluster_s = benchmark.pedantic(measure, rounds=1)
    record(
        "engine: 16 instances, always-busiest",
        {"cpu_s": cluster_s, "times_single": cluster_s / single_s},
        {"times_single": 3.0},
    )


def test_four_scorers(benchmark, record):
    """Weighted routing by prefix, queue, memory and load; each request has one of 1,000 prefixes of 300 tokens."""
    table, lone = prefix_groups(16 * RATE), prefix_groups(RATE)
    scorers = tuple(zip(SCORERS, (3.0, 2.0, 2.0, 1.0), strict=True))

    def measure():
        return least_in_turns(
            lambda: ready_run(lone),
            lambda: ready_run(table, 16, routing_policy="weighted", routing_scorers=scorers),
        )

    single_s, cluster_s = benchmark.pedantic(measure, rounds=1)
    record(
        "engine: 16 instances, 1,000 prefixes, weighted by four scorers",
        {"cpu_s": cluster_s, "times_single": cluster_s / single_s},
        {"times_single": 3.0},
    )


@pytest.mark.slow
def test_closed_loop(benchmark, record):
    """Conversations of ten turns, each 30 s after the answer, that stay where their beginning is cached.

    Every turn finds all that was said before, on one instance as on many.
    """
    table, lone = closed_sessions(16 * RATE), closed_sessions(RATE)
    engine = replace(AMPLE, total_kv_blocks=100_000)

    def measure():
        return least_in_turns(
            lambda: ready_run(lone, engine=engine),
            lambda: ready_run(table, 16, engine, routing_policy="prefix-affinity"),
            rounds=1,
            tokens=150_072_300,
            cached_tokens=1_432_733_008,
        )

    single_s, cluster_s = benchmark.pedantic(measure, rounds=1)
    record(
        "engine: 16 instances, prefix-affinity, 100 k conversations as a closed loop",
        {"cpu_s": cluster_s, "times_single": cluster_s / single_s},
        {"cpu_s": 5.0},
        single_s=single_s,
    )


@pytest.mark.parametrize("num_instances", [4, 16, 64, 256])
def test_cost_per_decision(benchmark, record, num_instances):
    """What looking at instances costs: weighted against round-robin, which looks at nothing."""
    table = independent(RATE * num_instances)

    def measure():
        return least_in_turns(
            lambda: ready_run(table, num_instances),
            lambda: ready_run(table, num_instances, routing_policy="weighted"),
            rounds=2,
        )

    blind_s, weighted_s = benchmark.pedantic(measure, rounds=1)
    cost = (weighted_s - blind_s) / NUM_REQUESTS * 1e9
    budget = {"ns_per_decision": 300.0} if num_instances == 256 else {}
    record(f"cost of looking at {num_instances} instances", {"ns_per_decision": cost}, budget)


def test_cost_per_decision_does_not_depend_on_the_cache(benchmark, record):
    """The same with ten times the KV blocks in each instance."""
    table = independent(RATE * 16)
    large = replace(ENGINE, total_kv_blocks=10 * ENGINE.total_kv_blocks)

    def measure():
        return least_in_turns(
            lambda: ready_run(table, 16, routing_policy="weighted"),
            lambda: ready_run(table, 16, engine=large, routing_policy="weighted"),
        )

    small_s, large_s = benchmark.pedantic(measure, rounds=1)
    record("16 instances, weighted, 600,000 KV blocks", {"cpu_s": large_s, "times_small": large_s / small_s})


@blis.routing_policy
def shortest_queue(request, instances, state):
    """What least-loaded does."""
    return np.argmin(instances.queue_depth + instances.batch_size + instances.pending_requests)


@blis.routing_policy(state=1, reads=())
def in_turns(request, instances, state):
    """What round-robin does."""
    turn = int(state[0])
    state[0] = turn + 1
    return turn % instances.num_instances


@pytest.mark.parametrize(("function", "built_in"), [(shortest_queue, "least-loaded"), (in_turns, "round-robin")])
def test_user_policy(benchmark, record, function, built_in):
    table = independent(RATE * 16)
    name = f"{__file__}:{function.__name__}"

    def measure():
        return least_in_turns(
            lambda: ready_run(table, 16, routing_policy=built_in), lambda: ready_run(table, 16, routing_policy=name)
        )

    built_in_s, user_s = benchmark.pedantic(measure, rounds=1)
    record(
        f"engine: 16 instances, a user's own {built_in} in Python",
        {"cpu_s": user_s, "times_built_in": user_s / built_in_s},
        {"times_built_in": 1.1},
    )
