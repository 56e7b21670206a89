"""How fast the engine is: one instance, a million requests.

    pytest benchmarks/bench_engine.py

Timed is the engine alone, from its first step to its last, in CPU seconds; what packing its arrays and unpacking its
results takes is noted apart. It is compiled before. The counters are the same on every machine: one that moves means
that the engine does other work than before, whatever the clock says.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import numpy as np
import pytest
from workloads import (
    AMPLE,
    NUM_REQUESTS,
    PREALLOCATING,
    TIGHT,
    blackbox,
    closed_sessions,
    independent,
    prefix_groups,
    roofline,
    sessions,
    waiting_users,
)

from blis.config.schema import EngineConfig
from blis.latency.law import LatencyModel
from blis.simulation import Run
from blis.workload.requests import RequestTable

ROUNDS = 5
#: Requests of the growth benchmark, and how often each is run: short runs need more to meet a quiet moment.
GROWTH_ROUNDS = {10_000: 50, 30_000: 30, 100_000: 15, 300_000: 7, 1_000_000: 5, 3_000_000: 3}


@dataclass(frozen=True)
class Counters:
    """What a run did, free of noise."""

    steps: int
    preemptions: int = 0
    cached_tokens: int = 0
    tokens: int = 514_322_711


@dataclass(frozen=True)
class Case:
    """A row of the table in docs/performance.md."""

    what: str
    table: Callable[[], RequestTable]
    expected: Counters
    engine: EngineConfig = AMPLE
    latency: Callable[[], LatencyModel] = blackbox
    budget: Mapping[str, float] = field(default_factory=lambda: {"cpu_s": 1.0, "ns_per_token": 2.0})


CASES = {
    "6_per_s": Case("6 requests/s", partial(independent, 6), Counters(22_564_772)),
    "20_per_s": Case("20 requests/s", partial(independent, 20), Counters(5_702_568)),
    "35_per_s": Case("35 requests/s", partial(independent, 35), Counters(2_605_470)),
    "preallocation": Case(
        "20 requests/s, pre-allocation of vLLM 0.8.4",
        partial(independent, 20),
        Counters(5_702_568),
        engine=PREALLOCATING,
    ),
    "roofline": Case(
        "12 requests/s, roofline",
        partial(independent, 12),
        Counters(5_909_863),
        latency=roofline,
        budget={"cpu_s": 2.0},
    ),
    "prefix_groups": Case(
        "20 requests/s, each with one of 1,000 prefixes of 300 tokens",
        partial(prefix_groups, 20),
        Counters(5_671_144, cached_tokens=287_712_000),
        budget={"cpu_s": 1.5},
    ),
    "tight": Case(
        "11 requests/s, 2,537 KV blocks: 0.8 M preemptions",
        partial(independent, 11),
        Counters(10_947_367, preemptions=777_531),
        engine=TIGHT,
        budget={"cpu_s": 4.0},
    ),
    "sessions": Case(
        "100 k conversations of 10 turns: 1.4 G cached tokens",
        partial(sessions, 20),
        Counters(6_783_724, cached_tokens=1_432_733_008, tokens=150_072_300),
        budget={"cpu_s": 4.0},
    ),
    "closed_loop": Case(
        "100 k conversations as a closed loop, each turn 30 s after the answer",
        partial(closed_sessions, 20),
        Counters(6_785_452, cached_tokens=1_432_733_008, tokens=150_072_300),
        budget={},
    ),
}


def ready_run(case, table, **modes):
    """A run of which only `Run.advance` is left to do."""
    run = Run(table, case.engine, case.latency(), **modes)
    run.load()
    return run


def check(run, case):
    result = run.result()
    assert np.count_nonzero(result.finished_us >= 0) == NUM_REQUESTS
    counters = Counters(
        result.num_steps,
        int(result.num_preemptions.sum()),
        int(result.cached_tokens.sum()),
        int(result.produced_tokens.sum()),
    )
    assert counters == case.expected


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_engine(benchmark, record, case):
    table = case.table()
    ready_run(case, table)
    packing_s, wall_s = [], []

    def setup():
        began = time.process_time()
        run = ready_run(case, table)
        packing_s.append(time.process_time() - began)
        return (run,), {}

    def advance(run):
        began = time.perf_counter()
        run.advance()
        wall_s.append(time.perf_counter() - began)
        return run

    run = benchmark.pedantic(advance, setup=setup, rounds=ROUNDS)
    check(run, case)
    if benchmark.enabled:
        cpu_s = benchmark.stats.stats.min
        figures = {"cpu_s": cpu_s, "ns_per_token": cpu_s / case.expected.tokens * 1e9}
        noted = {"requests_per_s": NUM_REQUESTS / cpu_s, "wall_s": min(wall_s), "packing_cpu_s": min(packing_s)}
        measured = {name: figures[name] for name in case.budget}
        record(f"engine: {case.what}", measured, case.budget, **figures, **noted, **asdict(case.expected))


@pytest.mark.parametrize(
    ("num_requests", "steps", "rounds", "budget"),
    [(1_000, 8_564, 100, {"cpu_ms": 1.0}), (20_000, 170_000, 20, {"ns_per_token": 5.0})],
)
def test_waiting_users(benchmark, record, num_requests, steps, rounds, budget):
    table = waiting_users(num_requests)
    runs = []

    def setup():
        runs[:] = [Run(table, AMPLE, blackbox())]
        runs[0].load()

    benchmark.pedantic(lambda: runs[0].advance(), setup=setup, rounds=rounds)
    result = runs[0].result()
    assert np.all(result.finished_us >= 0)
    assert (result.num_steps, result.produced_tokens.sum()) == (steps, num_requests * 128)
    if benchmark.enabled:
        cpu_s = benchmark.stats.stats.min
        measured = {"cpu_ms": cpu_s * 1e3, "ns_per_token": cpu_s / (num_requests * 128) * 1e9}
        record(f"engine: {num_requests:,} requests of 16 users who wait, 1,024 in, 128 out", measured, budget)


def test_one_by_one(benchmark, record):
    """The same engine told to touch every request in every step: what serving decoders in bulk gains."""
    case = CASES["20_per_s"]
    table = case.table()
    in_bulk_s = least_cpu_s(table, ROUNDS)
    run = ready_run(case, table, plain=True)
    benchmark.pedantic(run.advance, rounds=1)
    check(run, case)
    if benchmark.enabled:
        cpu_s = benchmark.stats.stats.min
        record(f"engine: {case.what}, request by request", {"cpu_s": cpu_s, "times_bulk": cpu_s / in_bulk_s})


def test_planning_ahead(benchmark, record):
    """Asynchronous scheduling, in turns with the same engine without it."""
    case = CASES["20_per_s"]
    table, ahead = case.table(), replace(case.engine, async_scheduling=True)
    turns = [(least_cpu_s(table, 1), least_cpu_s(table, 1, ahead)) for _ in range(ROUNDS)]
    run = Run(table, ahead, case.latency())
    run.load()
    benchmark.pedantic(run.advance, rounds=1)
    assert run.result().produced_tokens.sum() == case.expected.tokens
    if benchmark.enabled:
        waiting_s, cpu_s = (min(seconds) for seconds in zip(*turns, strict=True))
        measured = {"cpu_s": cpu_s, "times_waiting": cpu_s / waiting_s}
        record(f"engine: {case.what}, planned ahead", measured, {"times_waiting": 1.3})


def test_growth(benchmark, record):
    """Slope of log CPU time over log requests; its error is the noise of the machine."""
    tables = {count: independent(20, count) for count in GROWTH_ROUNDS}

    def measure():
        return [least_cpu_s(table, GROWTH_ROUNDS[count]) for count, table in tables.items()]

    seconds = benchmark.pedantic(measure, rounds=1)
    exponent = np.polyfit(np.log(list(tables)), np.log(seconds), 1)[0]
    by_count = dict(zip(map(str, tables), seconds, strict=True))
    record("engine: growth from 10 k to 3 M requests", {"exponent": exponent}, {"exponent": 1.05}, cpu_s=by_count)


def least_cpu_s(table, rounds, engine=CASES["20_per_s"].engine):
    """CPU time of an engine, the least of some rounds."""
    seconds = []
    for _ in range(rounds):
        run = Run(table, engine, blackbox())
        run.load()
        began = time.process_time()
        run.advance()
        seconds.append(time.process_time() - began)
    assert np.all(run.result().finished_us >= 0)
    return min(seconds)
