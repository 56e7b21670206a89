"""A run that has something to show in every section of its page, and what a page holds."""

import functools
import json
import re

import numpy as np

import blis
from blis.workload.labels import labels
from blis.workload.requests import RequestTable

TARGETS_US = {"interactive": 2_000_000, "batch": 20_000_000}


@functools.cache
def busy_run():
    """800 requests of two classes and tenants on two small instances; some are preempted, refused or unfinished."""
    rng = np.random.default_rng(7)
    count = 800
    table = RequestTable(
        np.sort(rng.integers(0, 30_000_000, count)),
        np.where(rng.random(count) < 0.02, 30_000, rng.integers(20, 1500, count)),
        rng.integers(1, 300, count),
        slo_class=labels(rng.choice(["interactive", "batch"], count).tolist()),
        tenant=labels(rng.choice(["<b>north</b>", "south"], count).tolist()),
    )
    return blis.simulate(
        blis.Deployment("meta-llama/llama-3.1-8b-instruct", total_kv_blocks=700),
        table,
        engine=blis.EngineOptions(max_model_len=8192),
        cluster=blis.ClusterOptions(num_instances=2, routing_policy="least-loaded"),
        horizon_us=32_000_000,
    )


def specs(html):
    """Charts of a page by name."""
    return json.loads(re.search(r'<script type="application/json" id="specs">(.*?)</script>', html, re.S)[1])


def values(spec):
    """All rows of data of a chart."""
    return [row for rows in spec["datasets"].values() for row in rows]
