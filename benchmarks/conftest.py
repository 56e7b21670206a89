"""How benchmarks note what `table.py` prints."""

from statistics import median

import pytest


@pytest.fixture
def record(benchmark):
    """Note what a benchmark is about, what it measured, and what that may be at most.

    Figures are named after their units, see `table.py`; without any, the least CPU time of all rounds is meant.
    """

    def note(what, measured=None, budget=None, **other):
        if benchmark.enabled:
            measured = measured or {"cpu_s": benchmark.stats.stats.min}
            benchmark.extra_info.update(what=what, measured=measured, budget=budget or {}, **other)

    return note


@pytest.fixture
def run_rounds(benchmark):
    """Run a process for some rounds; gives the last `children.Child` and what a round costs.

    That is the least seconds (other work on the machine can only add some) and the highest peak of memory.
    Without a ``setup`` a first round fills the caches.
    """

    def run(start, rounds, setup=None):
        children = []
        if setup is None:
            start()
        benchmark.pedantic(lambda **kwargs: children.append(start(**kwargs)), setup=setup, rounds=rounds)
        seconds = {name: [getattr(child, name) for child in children] for name in ("wall_s", "cpu_s")}
        benchmark.extra_info["median"] = {name: median(values) for name, values in seconds.items()}
        least = {name: min(values) for name, values in seconds.items()}
        return children[-1], least | {"peak_mb": max(child.peak_mb for child in children)}

    return run
