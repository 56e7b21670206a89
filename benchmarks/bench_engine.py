"""How fast the engine is: one instance, a million requests.

    pytest benchmarks/bench_engine.py

Measured is the engine alone, from the first step to the last; packing its arrays and unpacking its results is noted
apart. It is compiled before anything is timed. Counters are the same on every machine: one that moves means that the
engine does other work than before, whatever the clock says.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pytest
from workloads import AMPLE, NUM_REQUESTS, PREALLOCATING, TIGHT, blackbox, independent, prefix_groups, roofline, sessions

from blis.config.schema import EngineConfig
from blis.latency.law import LatencyModel
from blis.simulation import Run
from blis.workload.requests import RequestTable

ROUNDS = 5


@dataclass(frozen=True)
class Counters:
    """What a run did."""

    steps: int
    tokens: int
    preemptions: int
    cached_tokens: int


@dataclass(frozen=True)
class Case:
    """A row of the table in docs/performance.md."""

    what: str
    table: Callable[[], RequestTable]
    expected: Counters
    budget: dict[str, float]
    engine: EngineConfig = AMPLE
    latency: Callable[[], LatencyModel] = blackbox


FAST = {"cpu_s": 1.0, "ns_per_token": 2.0}
TOKENS = 0

CASES = {
    "6_per_s": Case("6 requests/s", partial(independent, 6), Counters(0, TOKENS, 0, 0), FAST),
    "20_per_s": Case("20 requests/s", partial(independent, 20), Counters(0, TOKENS, 0, 0), FAST),
    "35_per_s": Case("35 requests/s", partial(independent, 35), Counters(0, TOKENS, 0, 0), FAST),
    "preallocation": Case(
        "20 requests/s, vLLM 0.8.4's pre-allocation",
        partial(independent, 20),
        Counters(0, TOKENS, 0, 0),
        FAST,
        engine=PREALLOCATING,
    ),
    "roofline": Case(
        "12 requests/s, roofline", partial(independent, 12), Counters(0, TOKENS, 0, 0), {"cpu_s": 2.0}, latency=roofline
    ),
    "prefix_groups": Case(
        "20 requests/s, 1,000 groups with prefixes of 300 tokens",
        partial(prefix_groups, 20),
        Counters(0, TOKENS, 0, 0),
        {"cpu_s": 1.5},
    ),
    "tight": Case(
        "11 requests/s, 2,537 KV blocks: 0.8 M preemptions",
        partial(independent, 11),
        Counters(0, TOKENS, 0, 0),
        {"cpu_s": 4.0},
        engine=TIGHT,
    ),
    "sessions": Case(
        "100,000 conversations of 10 turns: 1.4 G cached tokens",
        partial(sessions, 20),
        Counters(0, TOKENS, 0, 0),
        {"cpu_s": 4.0},
    ),
}


def ready_run(table, engine, latency, **modes):
    run = Run(table, engine, latency, **modes)
    run.load()
    return run


def counters(result):
    return Counters(
        result.num_steps,
        int(result.produced_tokens.sum()),
        int(result.num_preemptions.sum()),
        int(result.cached_tokens.sum()),
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_engine(benchmark, record, case):
    table, latency = case.table(), case.latency()
    ready_run(table, case.engine, latency)
    runs, packing_s, wall_s = [], [], []

    def setup():
        runs.clear()
        began = time.process_time()
        runs.append(ready_run(table, case.engine, latency))
        packing_s.append(time.process_time() - began)

    def advance():
        began = time.perf_counter()
        runs[0].advance()
        wall_s.append(time.perf_counter() - began)

    benchmark.pedantic(advance, setup=setup, rounds=ROUNDS)
    began = time.process_time()
    result = runs[0].result()
    unpacking_s = time.process_time() - began
    assert (result.finished_us >= 0).sum() == NUM_REQUESTS
    found = counters(result)
    assert found == case.expected
    if benchmark.disabled:
        return
    cpu_s = benchmark.stats.stats.min
    record(
        f"engine: {case.what}",
        {"cpu_s": cpu_s, "ns_per_token": cpu_s / found.tokens * 1e9},
        case.budget,
        requests_per_s=NUM_REQUESTS / cpu_s,
        wall_s=min(wall_s),
        packing_cpu_s=min(packing_s) + unpacking_s,
        **asdict(found),
    )


def test_one_by_one(benchmark, record):
    """The same engine told to touch every request in every step: what serving decoders in bulk gains."""
    case = CASES["20_per_s"]
    table, latency = case.table(), case.latency()
    in_bulk_s = least_cpu_s(table, 3)
    run = ready_run(table, case.engine, latency, plain=True)
    benchmark.pedantic(run.advance, rounds=1)
    assert counters(run.result()) == case.expected
    if not benchmark.disabled:
        cpu_s = benchmark.stats.stats.min
        record(f"engine: {case.what}, one by one", {"cpu_s": cpu_s, "times_in_bulk": cpu_s / in_bulk_s})


def test_growth(benchmark, record):
    """Slope of log CPU time over log requests, from 10 k to 3 M."""
    counts = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000]
    seconds = [least_cpu_s(independent(20, n), rounds=math.ceil(3_000_000 / n) ** 0.5) for n in counts]
    raise NotImplementedError


def least_cpu_s(table, rounds):
    """CPU time of the engine, the best of some rounds."""
    seconds = []
    for _ in range(rounds):
        run = ready_run(table, AMPLE, blackbox())
        began = time.process_time()
        run.advance()
        seconds.append(time.process_time() - began)
        assert len(run.result().status) == len(table)
    return min(seconds)
