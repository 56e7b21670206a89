"""Workload specs for tests, written as YAML with few words."""

from textwrap import dedent, indent

import numpy as np

from blis.workload.spec_file import load_workload_spec

LENGTHS = """
input_distribution: {type: constant, params: {value: 100}}
output_distribution: {type: constant, params: {value: 10}}
"""
OPEN = "rate_fraction: 1\narrival: {process: poisson}\n" + LENGTHS


def write(folder, top, *clients):
    """A file with top-level keys and clients; what clients leave out is that of OPEN unless they have a concurrency."""
    text = dedent(top).strip() + "\n"
    if clients:
        text += "clients:\n"
    for client in clients:
        given = dedent(client).strip().splitlines()
        names = {line.split(":")[0] for line in given}
        usual = LENGTHS if "concurrency" in names else OPEN
        lines = [*given, *(line for line in usual.strip().splitlines() if line.split(":")[0] not in names)]
        text += indent("\n".join(lines), "    ").replace("    ", "  - ", 1) + "\n"
    path = folder / "spec.yaml"
    path.write_text(text)
    return path


def drawn(folder, top, *clients, seed=1, horizon_us=None):
    return load_workload_spec(write(folder, top, *clients)).requests(seed, horizon_us)


def ks_distance(samples, cdf):
    """Largest distance between the samples' own distribution function and another."""
    ordered = np.sort(samples)
    expected = np.array([cdf(x) for x in ordered])
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return max(np.max(steps[1:] - expected), np.max(expected - steps[:-1]))


def ks_bound(count):
    """What the distance exceeds once in a thousand times."""
    return 1.95 / np.sqrt(count)
