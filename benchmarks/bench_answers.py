"""What answers cost, from the start of the process to its end: a page of a large run, a capacity, a plan.

    pytest benchmarks/bench_answers.py

What is kept between processes is there before anything is timed.
"""

import json
import time

import pytest
from children import blis
from workloads import MODEL, NUM_REQUESTS

pytestmark = pytest.mark.benchmark(timer=time.perf_counter)


def test_page_of_1m_requests(record, run_rounds, tmp_path):
    outcomes, page = tmp_path / "outcomes.parquet", tmp_path / "page.html"
    blis(
        *("run", "--model", MODEL, "--rate", 250, "--max-prompts", NUM_REQUESTS, "--num-instances", 8),
        *("--routing-policy", "least-loaded", "--outcomes-path", outcomes),
    )
    _, cost = run_rounds(lambda: blis("report", outcomes, "-o", page), 3)
    cost["page_mb"] = page.stat().st_size / 1e6
    budget = {"wall_s": 2.5, "peak_mb": 600, "page_mb": 5.0}
    record("`blis report` of 1 M requests on 8 instances", cost, budget)


def test_capacity(record, run_rounds):
    slos = ("--slo", "p99_ttft=200ms", "--slo", "mean_itl=20ms")
    child, cost = run_rounds(lambda: blis("capacity", "--model", MODEL, "--workload", "chatbot", *slos), 3)
    assert json.loads(child.stdout)["verdict"] == "found"
    record("`blis capacity` to 1 %, two SLOs", cost, {"wall_s": 1.5})


def test_plan(record, run_rounds):
    child, cost = run_rounds(lambda: blis("plan", "examples/plan.yaml"), 3)
    assert len(json.loads(child.stdout)["choices"]) == 6
    record("`blis plan examples/plan.yaml`: six deployments", cost, {"wall_s": 1.5})
