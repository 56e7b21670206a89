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


#: Arrival rates over the time from 0 to 1, whose highest is 4.
COURSES = {
    "rises": lambda time: 1 + 3 * time,
    "falls": lambda time: 4 - 3 * time,
    "step": lambda time: np.where(time < 0.5, 1.0, 4.0),
    "day": lambda time: 2.5 - 1.5 * np.cos(2 * np.pi * time),
    "week": lambda time: 2.5 - 1.5 * np.cos(14 * np.pi * time),
    "bursts": lambda time: np.where((20 * time) % 1 < 0.8, 1.0, 4.0),
}


def changing_arrivals(rng, count, course):
    """Poisson arrivals whose rate takes a course, in s; the mean rate is one a second."""
    time = np.linspace(0, 1, 4_001)
    expected = np.concatenate([[0.0], np.cumsum(COURSES[course](time)[:-1])])
    return count * np.interp(np.sort(rng.random(rng.poisson(count))), expected / expected[-1], time)


def changing_queue(rng, count, course, peak):
    """Arrivals, beginnings of service and departures of a single server, in µs; ``peak`` is the load at the peak."""
    arrival = changing_arrivals(rng, count, course)
    service = np.full(len(arrival), peak * COURSES[course](np.linspace(0, 1, 4_001)).mean() / 4)
    started = arrival + waits(np.diff(arrival, prepend=0), service)
    return arrival * 1e6, started * 1e6, (started + service) * 1e6
