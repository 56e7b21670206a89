"""How benchmarks write down what `table.py` prints."""

from dataclasses import asdict
from statistics import median

import pytest


@pytest.fixture
def record(benchmark):
    """Note what a benchmark is about, what it measured and what that may be at most.

    Figures are named after their unit, as in `table.py`. Without any, the best CPU time of all rounds counts.
    """

    def note(what, measured=None, budget=None, **counters):
        if benchmark.disabled:
            return
        measured = measured or {"cpu_s": benchmark.stats.stats.min}
        benchmark.extra_info.update(what=what, measured=measured, budget=budget or {}, **counters)

    return note


@pytest.fixture
def run_rounds(benchmark):
    """Run a process some rounds, behind a first one that fills caches. Returns the last and its costs.

    The costs: least seconds (other work on the machine can only add some), highest peak; medians apart.
    """

    def run(start, rounds, *, warm=True, setup=None):
        children = []
        if warm:
            start()
        benchmark.pedantic(lambda *a: children.append(start(*a)), setup=setup, rounds=rounds)
        best = {name: min(getattr(child, name) for child in children) for name in ("wall_s", "cpu_s")}
        benchmark.extra_info["median"] = {n: median(getattr(child, n) for child in children) for n in best}
        return children[-1], best | {"peak_mb": max(asdict(child)["peak_mb"] for child in children)}

    return run
