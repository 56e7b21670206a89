"""vLLM's own scheduler records, through the front door: a trace file, flags, and the results file."""

from __future__ import annotations

import json
import math

import pytest
from click.testing import CliRunner
from helpers_vectors import VectorRun, all_vector_runs, loop_vector_runs

from blis.cli.main import cli

RUNS = [run for run in (*all_vector_runs(), *loop_vector_runs()) if not run.record["stalled"]]


def seconds(arrival_us: int) -> str:
    """A number of seconds that the reader's truncation takes to this microsecond."""
    text = f"{arrival_us / 1e6:.6f}"
    return text if math.trunc(float(text) * 1e6) == arrival_us else f"{text}5"


def write_trace(run: VectorRun, path) -> None:
    lines = ["arrival_time,request_id,model,prefill_tokens,decode_tokens,priority,max_tokens"]
    lines += [
        f'{seconds(r.arrival_us)},{r.id},any,"{list(r.prompt)}","{list(r.output)}",{r.priority},{r.max_tokens or ""}'
        for r in run.requests
    ]
    path.write_text("\n".join(lines) + "\n")


def flags_of(run: VectorRun) -> list[str]:
    c = run.config
    values = {
        "--alpha-coeffs": f"{c['a0']},{c['a1']},{c['a2']}",
        "--beta-coeffs": f"{c['b0']},{c['b1']},{c['b2']}",
        "--vllm-version": run.version,
        "--total-kv-blocks": c["num_gpu_blocks"],
        "--block-size-in-tokens": c["block_size"],
        "--max-num-running-reqs": c["max_num_seqs"],
        "--max-num-scheduled-tokens": c["max_num_batched_tokens"],
        "--long-prefill-token-threshold": c["long_prefill_token_threshold"],
        "--max-model-len": c["max_model_len"],
        "--kv-watermark": c["watermark"],
        "--scheduling-policy": c["policy"],
        "--schedule-us": c.get("sched_us", 0),
        "--yield-us": c.get("yield_us", 0),
    }
    switches = [
        "--enable-prefix-caching" if c["enable_prefix_caching"] else "--no-enable-prefix-caching",
        "--async-scheduling" if c.get("async") else "--no-async-scheduling",
        "--reserve-full-prompt" if c["reserve_full_isl"] else "--no-reserve-full-prompt",
        "--allow-unservable",  # the records are of the scheduler alone, with caches smaller than any server has
    ]
    return [str(word) for item in values.items() for word in item] + switches


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_every_request_is_vllms(run, tmp_path):
    trace, results = tmp_path / "trace.csv", tmp_path / "results.json"
    write_trace(run, trace)
    words = ["run", "--model", "any/model", "--workload", "traces", "--workload-traces-filepath", str(trace)]
    done = CliRunner().invoke(cli, [*words, "--results-path", str(results), *flags_of(run)])
    assert done.exit_code == 0, done.stderr
    rows = {row["requestID"]: row for row in json.loads(results.read_text())["requests"]}
    for i, request in enumerate(run.requests):
        recorded, row = run.record["requests"][request.id], rows[f"request_{i}"]
        if recorded.get("rejected"):
            assert row["status"] == "refused_too_long"
            continue
        assert row["ttft_ms"] == recorded["ttft_us"] / 1000
        client_us = int(run.config["a2"])  # one per token: the record has it once per gap and once in TTFT
        assert row["e2e_ms"] == (recorded["finish_us"] - request.arrival_us + recorded["n_out"] * client_us) / 1000
        assert row["e2e_ms"] == recorded["e2e_us"] / 1000
        planned_us = recorded.get("first_plan_us", recorded["first_scheduled_us"])
        assert row["scheduling_delay_ms"] == (planned_us - request.arrival_us) / 1000
        assert row["num_preemptions"] == recorded["n_preemptions"]
