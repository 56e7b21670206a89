"""What sweeps cost: a whole ``blis sweep`` of 1,000 runs, and how two threads or processes compare with one.

    pytest benchmarks/bench_sweep.py

Kernels are in numba's cache before anything is timed.
"""

import time

import pyarrow.parquet as pq
import pytest
import yaml
from children import blis
from workloads import MODEL

from blis.studies.sweep.executors import executor_of
from blis.studies.sweep.sweeping import prepare_sweep

pytestmark = pytest.mark.benchmark(timer=time.perf_counter)

ROUNDS = 5


def points(count, num_requests, **base):
    return {
        "base": {"model": MODEL, "num_requests": num_requests, **base},
        "latin_hypercube": {
            "count": count,
            "ranges": {
                "rate": {"uniform": [2, 30]},
                "max_num_running_reqs": {"integers": [64, 256]},
                "max_num_scheduled_tokens": {"integers": [512, 4096]},
            },
        },
    }


def test_1000_runs(record, run_rounds, tmp_path):
    file, output = tmp_path / "sweep.yaml", tmp_path / "sweep.parquet"
    file.write_text(yaml.safe_dump(points(1000, 1000)))
    _, cost = run_rounds(lambda: blis("sweep", file, "--output", output, "--jobs", 2), ROUNDS)
    assert pq.read_table(output)["status"].to_pylist() == ["ok"] * 1000
    record("`blis sweep` of 1,000 runs of 1,000 requests, two processes", cost, {"wall_s": 2.0})


@pytest.mark.parametrize(("count", "num_requests"), [(1000, 1_000), (200, 10_000), (20, 100_000)])
def test_two_at_once(benchmark, record, count, num_requests):
    """Rounds of one thread, two threads and two processes alternate, and the least of each counts."""
    prepared = prepare_sweep(points(count, num_requests))

    def seconds(executor, jobs):
        began = time.perf_counter()
        rows = list(executor_of(executor).rows(prepared.sweep, range(count), prepared.worker, jobs))
        assert [row.error for row in rows] == [None] * count
        return time.perf_counter() - began

    ways = ("threads", 1), ("threads", 2), ("processes", 2)
    seconds("threads", 2)  # loads the engine and draws the requests
    rounds = benchmark.pedantic(lambda: [[seconds(*way) for way in ways] for _ in range(ROUNDS)], rounds=1)
    one_s, threads_s, processes_s = map(min, zip(*rounds, strict=True))
    record(
        f"sweep: {count:,} runs of {num_requests:,} requests, two processes",
        {"wall_s": processes_s, "times_one_thread": processes_s / one_s, "times_two_threads": processes_s / threads_s},
        {"wall_s": 0.7} if num_requests == 1_000 else {},
        one_thread_s=one_s,
        two_threads_s=threads_s,
    )
