"""What `blis observe` adds to what it measures: a server of others on the same machine, with stated latencies.

    BLIS_GUIDELLM=.../bin/guidellm pytest benchmarks/bench_observe.py

A thousand requests, one every 5 ms, with 16 tokens each: the server says the first after 100 ms and then one every
10 ms. Server and client share the cores.
"""

import json

import pytest
from children import blis
from helpers_mock_server import GUIDELLM, WHY_NOT, mock_server

pytestmark = pytest.mark.skipif(GUIDELLM is None, reason=WHY_NOT)

TTFT_MS, ITL_MS = 100, 10
LOAD = ("--rate", 200, "--arrival", "constant", "--num-requests", 1000)
PROMPTS = ("--prompt-tokens", 128, "--prompt-tokens-stdev", 30, "--prompt-tokens-min", 16)
OUTPUTS = [part for name in ("", "-min", "-max") for part in (f"--output-tokens{name}", 16)]


def test_200_requests_per_second(benchmark, record, tmp_path):
    summaries = []

    def measure():
        output = ("--trace-output", tmp_path / f"t{len(summaries)}")
        child = blis(
            *("observe", "--server-url", url, "--model", "m", *output),
            *(*LOAD, *PROMPTS, *OUTPUTS, "--output-tokens-stdev", 0),
        )
        summaries.append(json.loads(child.stdout) | {"cpu_s": child.cpu_s})

    with mock_server(ttft_ms=TTFT_MS, itl_ms=ITL_MS) as url:
        benchmark.pedantic(measure, rounds=3)
    assert all(summary["ok"] == 1000 for summary in summaries)
    best = min(summaries, key=lambda summary: summary["lateness_p99_ms"])
    measured = {
        "lateness_p50_ms": best["lateness_p50_ms"],
        "lateness_p99_ms": best["lateness_p99_ms"],
        "ttft_added_ms": best["ttft_p50_ms"] - TTFT_MS,
        "itl_added_ms": best["itl_p50_ms"] - ITL_MS,
        "cpu_s": best["cpu_s"],
    }
    record("`blis observe`: 1,000 requests, 200/s, 16 tokens each", measured, {"lateness_p99_ms": 10})
