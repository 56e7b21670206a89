"""Scores a routing policy for OpenEvolve, whose programs are Python files with a function ``route``.

    openevolve-run examples/openevolve/initial_program.py examples/openevolve/evaluator.py --config config.yaml

docs/policies.md, "Searching for policies", says more.
"""

from __future__ import annotations

import numpy as np

import blis

#: A score of 100 would be a time to first token of nothing at all.
WEIGHTS = {"mean_ttft": 50.0, "p99_ttft": 50.0}

DEPLOYMENT = blis.Deployment("meta-llama/llama-3.1-8b-instruct", hardware="H100", tp=1)


def conversations(*, rate: float, num_requests: int, num_prefixes: int, prefix_tokens: int) -> blis.RequestTable:
    """Poisson arrivals of prompts that begin with one of some long prefixes, which an instance may have cached."""
    rng = np.random.default_rng(7)
    arrival_us = np.cumsum(rng.exponential(1e6 / rate, num_requests)).astype(np.int64)
    # streams of tokens: first the prefixes, then one per request, which begins like a prefix
    own = np.arange(num_prefixes, num_prefixes + num_requests)
    parent = np.concatenate([np.full(num_prefixes, -1), rng.integers(num_prefixes, size=num_requests)])
    fork_tokens = np.concatenate([np.zeros(num_prefixes, np.int64), np.full(num_requests, prefix_tokens)])
    return blis.RequestTable(
        arrival_us,
        prefix_tokens + rng.integers(50, 300, num_requests),
        rng.integers(50, 200, num_requests),
        blis.TokenStreams(own, parent, fork_tokens),
    )


#: Kept here and used for every program, so that requests are drawn once.
SCENARIOS = (
    blis.Scenario(
        "steady",
        DEPLOYMENT,
        blis.DistributionWorkload(rate=60, num_requests=3000),
        cluster=blis.ClusterOptions(num_instances=4),
    ),
    blis.Scenario(
        "bursts_seen_late",
        DEPLOYMENT,
        blis.DistributionWorkload(rate=40, num_requests=3000, arrival="gamma", arrival_cv=4.0),
        cluster=blis.ClusterOptions(
            num_instances=4, queue_depth_refresh_us=50_000, batch_size_refresh_us=50_000, kv_refresh_us=50_000
        ),
    ),
    blis.Scenario(
        "conversations",
        DEPLOYMENT,
        conversations(rate=60, num_requests=3000, num_prefixes=600, prefix_tokens=1500),
        cluster=blis.ClusterOptions(num_instances=4),
    ),
)


def evaluate(program_path: str) -> dict[str, float | str]:
    """Score the function ``route`` of a program.

    Returns:
        ``combined_score``, and of each scenario its score and p99 of the time to first token, all numbers; if the
        program failed, also what was wrong, under ``error``, as a line of text.
    """
    found = blis.evaluate(f"{program_path}:route", SCENARIOS, fitness_weights=WEIGHTS)
    metrics: dict[str, float | str] = {"combined_score": found["fitness"]}
    for name, result in found["scenarios"].items():
        metrics[f"{name}_score"] = result["fitness"]
        if result["error"] is None:
            metrics[f"{name}_ttft_p99_ms"] = result["metrics"]["ttft_p99_ms"]
    if found["error"] is not None:
        metrics["error"] = found["error"]
    return metrics
