"""Loads `tests/vectors`: step-by-step records of what vLLM's own scheduler did with given traces.

The records were made with vLLM's unmodified V1 scheduler and KV manager (0.8.4, 0.8.5 and 0.33.0) on a
virtual clock, without a model; those in its folder ``async`` with vLLM's own engine loop, too (0.33.0).
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from reference.engine import RefConfig, RefRequest, blackbox

VECTORS = Path(__file__).parent / "vectors"

#: Scheduler profile of each recorded vLLM version: what differs from 0.8.5.
PROFILES: dict[str, dict[str, Any]] = {
    "0.8.4": {"preallocated_tokens": 64},
    "0.8.5": {},
    "0.33.0": {
        "free_keyless_blocks_first": True,
        "threshold_spares_lone_request": True,
        "refuse_prompt_of_max_model_len": True,
    },
}


@dataclass(frozen=True, eq=False)
class VectorRun:
    """One case as one version of vLLM ran it.

    Attributes:
        name: the case.
        version: vLLM's version.
        requests: the trace.
        config: vLLM's settings and the clock's coefficients, by the names in the file.
        record: what happened: ``steps``, ``requests``, ``n_steps``, ``end_us``, ``stalled``, ….
    """

    name: str
    version: str
    requests: tuple[RefRequest, ...]
    config: dict[str, Any]
    record: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.name}-{self.version}"


@cache
def all_vector_runs() -> tuple[VectorRun, ...]:
    """Every (case, version) there is. For pytest: ``parametrize("run", all_vector_runs(), ids=str)``."""
    return tuple(run for path in sorted(VECTORS.glob("*.json.gz")) for run in _runs_of(path))


@cache
def loop_vector_runs() -> tuple[VectorRun, ...]:
    """Those with vLLM's own engine loop: asynchronous scheduling, and two without it for comparison."""
    return tuple(run for path in sorted(VECTORS.glob("async/*.json.gz")) for run in _runs_of(path))


def _runs_of(path: Path) -> list[VectorRun]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        case = json.load(file)
    requests = tuple(
        RefRequest(
            *(r["id"], r["arrival_us"], tuple(r["prompt"]), tuple(r["output"]), r.get("priority", 0)),
            max_tokens=r.get("max_tokens"),
        )
        for r in case["requests"]
    )
    return [VectorRun(case["name"], v, requests, r["config"], r) for v, r in case["runs"].items()]


def ref_config(run: VectorRun) -> RefConfig:
    """The reference engine's configuration for a recorded run."""
    config = run.config
    return RefConfig(
        total_kv_blocks=config["num_gpu_blocks"],
        block_size_tokens=config["block_size"],
        max_num_running_reqs=config["max_num_seqs"],
        max_num_scheduled_tokens=config["max_num_batched_tokens"],
        long_prefill_token_threshold=config["long_prefill_token_threshold"],
        max_model_len=config["max_model_len"],
        enable_prefix_caching=config["enable_prefix_caching"],
        scheduling_policy=config["policy"],
        reserve_full_prompt=config["reserve_full_isl"],
        kv_watermark=config["watermark"],
        async_scheduling=config.get("async", False),
        schedule_us=config.get("sched_us", 0),
        yield_us=config.get("yield_us", 0),
        alpha=(config["a0"], config["a1"], config["a2"]),
        step_time=blackbox(config["b0"], config["b1"], config["b2"]),
        **PROFILES[run.version],
    )


def recorded_steps(run: VectorRun) -> list[dict[str, Any]]:
    """The steps of a recorded run by the names of `RefStep`, with what the file leaves out (it means empty) put in."""
    absent: dict[str, Any] = {"sched": {}, "new": {}, "resumed": {}, "preempted": [], "finished": []}
    steps = [absent | step for step in run.record["steps"]]
    return [step | {"sched": list(step["sched"].items())} for step in steps]
