"""What sweeps cost: a whole ``blis sweep`` of 1,000 runs, and how two threads compare with one.

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
    record("`blis sweep` of 1,000 runs of 1,000 requests, two threads", cost, {"wall_s": 10.0})


@pytest.mark.parametrize(("count", "num_requests"), [(1000, 1_000), (200, 10_000), (20, 100_000)])
def test_two_threads(benchmark, record, count, num_requests):
    """Rounds of one and two threads alternate, and the least of each counts, on a machine with other work."""
    prepared = prepare_sweep(points(count, num_requests))

    def seconds(jobs):
        began = time.perf_counter()
        rows = list(executor_of("threads").rows(prepared.sweep, range(count), prepared.worker, jobs))
        assert [row.error for row in rows] == [None] * count
        return time.perf_counter() - began

    seconds(2)  # loads the engine and draws the requests
    rounds = benchmark.pedantic(lambda: [(seconds(1), seconds(2)) for _ in range(ROUNDS)], rounds=1)
    one_s, two_s = map(min, zip(*rounds, strict=True))
    what = f"sweep: {count:,} runs of {num_requests:,} requests, two threads"
    record(what, {"wall_s": two_s, "times_one_thread": two_s / one_s}, one_thread_s=one_s)
