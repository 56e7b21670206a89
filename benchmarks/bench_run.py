"""What a whole ``blis run`` costs, from the start of the process to its end.

    pytest benchmarks/bench_run.py

Kernels are in numba's cache before anything is timed.
"""

import json
import time

import pyarrow.parquet as pq
import pytest
from children import blis
from workloads import MODEL, NUM_REQUESTS, independent, literal, write_csv_trace

from blis.workload.traces.parquet import write_parquet_trace

pytestmark = pytest.mark.benchmark(timer=time.perf_counter)


def run(*arguments):
    return blis("run", "--model", MODEL, *arguments)


def run_trace(path, *arguments):
    return run("--workload", "traces", "--workload-traces-filepath", path, *arguments)


def summary(child):
    """The metrics that a run printed."""
    return json.loads(child.stdout)


def test_100_requests(record, run_rounds):
    child, cost = run_rounds(run, 10)
    assert summary(child)["completed_requests"] == 100
    record("`blis run` of 100 requests", cost, {"wall_s": 1.2})


def test_1m_requests(record, run_rounds, tmp_path):
    trace, outcomes = tmp_path / "lengths.parquet", tmp_path / "outcomes.parquet"
    write_parquet_trace(independent(20), trace)
    child, cost = run_rounds(lambda: run_trace(trace, "--outcomes-path", outcomes), 5)
    assert summary(child)["completed_requests"] == NUM_REQUESTS
    assert summary(child)["total_output_tokens"] == 514_322_711
    assert pq.read_metadata(outcomes).num_rows == NUM_REQUESTS
    record("`blis run`: 1 M requests from Parquet, outcomes to Parquet", cost, {"wall_s": 5.0, "peak_mb": 700})


@pytest.mark.slow
def test_token_ids_in_csv(record, run_rounds, tmp_path):
    trace = tmp_path / "tokens.csv"
    table = literal(20, 100_000)
    write_csv_trace(table, trace)
    megabytes = trace.stat().st_size / 1e6
    child, cost = run_rounds(lambda: run_trace(trace), 3)
    assert summary(child)["completed_requests"] == len(table)
    assert summary(child)["total_output_tokens"] == table.output_tokens.sum()
    assert summary(child)["cache_hit_rate"] > 0.3
    cost["times_file"] = cost["peak_mb"] / megabytes
    what = f"`blis run`: CSV with token ids, 100 k requests, {megabytes:,.0f} MB"
    record(what, cost, {"wall_s": 15.0, "times_file": 2.0}, file_mb=megabytes)
