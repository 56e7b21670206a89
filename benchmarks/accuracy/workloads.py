"""The load of a measured point as a workload of blis."""

import json
from functools import cache

import numpy as np

from accuracy.points import FOLDER
from blis.workload.client_spec import ClientSpec, ClosedLoop, OpenLoop
from blis.workload.lengths import MAX_TOKENS, Constant, Empirical, Exponential, Lengths
from blis.workload.requests import RequestTable
from blis.workload.spec import WorkloadSpec

#: More prompts than these change no figure of a load that lasts; those of a flood are cut likewise.
MOST_PROMPTS = 5_000
USUAL_PROMPTS = 100
SEED = 1
_NO_THINKING = Lengths(Constant(0), 0, 0)


def workload_of(point):
    """A `blis.WorkloadSpec`, or the requests themselves where they were recorded."""
    if point.load.kind == "replay":
        return _recorded(point)
    count = num_prompts(point)
    if point.load.kind == "open":
        return WorkloadSpec(_streams(point), aggregate_rate=point.load.rate, num_requests=count, seed=SEED)
    users = min(point.load.users or count, count)
    client = ClientSpec("u", ClosedLoop(users, _NO_THINKING), lengths(point.input), lengths(point.output))
    return WorkloadSpec((client,), num_requests=count, seed=SEED)


def num_prompts(point):
    """How many prompts are simulated."""
    return min(point.prompts or USUAL_PROMPTS, MOST_PROMPTS)


def _streams(point):
    """A client per group of prompts that share a prefix; many even streams together are about a Poisson one."""
    text, output = lengths(point.input), lengths(point.output)
    if point.shared_prefix is None:
        return (ClientSpec("c0", OpenLoop(1.0, point.load.process), text, output),)
    tokens, groups = map(int, point.shared_prefix.split(" x "))
    load = OpenLoop(1.0, "poisson")
    return tuple(
        ClientSpec(f"c{g}", load, text, output, prefix_group=f"g{g}", prefix_length=tokens) for g in range(groups)
    )


def lengths(law):
    """The law of prompt or output lengths: a number of tokens, or ``uniform``, ``exponential`` or ``drawn``."""
    if isinstance(law, int):
        return Lengths(Constant(max(1, law)), 1, MAX_TOKENS)
    kind, *figures = law.split()
    if kind == "uniform":
        low, high = (max(1, int(figure)) for figure in figures)
        values = range(low, high + 1, max(1, (high - low) // 2048))
        return Lengths(Empirical(tuple(map(float, values)), (1.0,) * len(values)), 1, MAX_TOKENS)
    if kind == "exponential":
        mean, low, high = figures
        return Lengths(Exponential(float(mean)), int(low), int(high))
    values, weights = zip(*_figures(figures[0])["counts"], strict=True)
    return Lengths(Empirical(tuple(map(float, values)), tuple(map(float, weights))), 1, MAX_TOKENS)


def _recorded(point):
    arrival_ms, inputs, outputs = np.array(_figures(point.input.split()[1])["requests"]).T
    arrival_us = np.round(arrival_ms * 1000).astype(np.int64)
    return RequestTable(arrival_us, inputs.astype(np.int64), outputs.astype(np.int64))


@cache
def _figures(name):
    return json.loads((FOLDER / "lengths" / f"{name}.json").read_text(encoding="utf-8"))
