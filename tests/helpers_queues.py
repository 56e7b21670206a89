"""Queues whose waits are known in theory, by Lindley's recursion."""

import numpy as np


def waits(gaps, services):
    """Waiting times of a single server, first come first served; the first gap is before the first arrival."""
    steps = np.concatenate([[0.0], np.cumsum(services[:-1] - gaps[1:])])
    return steps - np.minimum.accumulate(steps)


def deterministic(rng, count, load):
    return np.full(count, load)


def two_kinds(rng, count, load):
    """Four in five are short, the others ten times as long."""
    return np.where(rng.random(count) < 0.8, 20, 200) * load / 56


def queue(rng, count, load, services=deterministic, arrival_cv=1.0):
    """Arrivals, one a second, and departures, in µs."""
    gaps = rng.gamma(1 / arrival_cv**2, arrival_cv**2, count)
    service = services(rng, count, load)
    arrival = np.cumsum(gaps)
    return arrival * 1e6, (arrival + waits(gaps, service) + service) * 1e6


def mean_wait(load, services=deterministic):
    """Pollaczek and Khinchine's mean, with one arrival a second."""
    square = load**2 if services is deterministic else (0.8 * 20**2 + 0.2 * 200**2) * (load / 56) ** 2
    return square / (2 * (1 - load))
