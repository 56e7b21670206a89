"""What a fresh process pays before its first step: imports, compiling the engine once, loading it ever after.

    pytest benchmarks/bench_startup.py

Costs of whole processes are taken from outside; what loading alone costs, `load_engine.py` says itself.
"""

import itertools
import json
import time
from dataclasses import replace

import pytest
from children import blis, run_python
from workloads import MODEL

pytestmark = pytest.mark.benchmark(timer=time.perf_counter)


def load_engine(part, **environment):
    """A process that loads the engine, with the seconds that this part of it took."""
    child = run_python("-m", "benchmarks.load_engine", **environment)
    return replace(child, **json.loads(child.stdout)[part])


@pytest.fixture
def new_cache(tmp_path):
    """Give arguments with a new, empty place for compiled code."""
    numbers = itertools.count()
    # NUMBA_OPT says the default: what comes with the package was made with nothing said, and is not taken
    return lambda: ((), {"NUMBA_CACHE_DIR": tmp_path / f"cache{next(numbers)}", "NUMBA_OPT": 3})


def test_help(record, run_rounds):
    child, cost = run_rounds(lambda: blis("--help"), 20)
    assert "run" in child.stdout
    record("`blis --help`", cost, {"wall_s": 0.25})


def test_start(record, run_rounds):
    _, cost = run_rounds(lambda: load_engine("start"), 10)
    record("imports of a run", cost)


def test_load(record, run_rounds):
    _, cost = run_rounds(lambda: load_engine("load"), 10)
    record("engine loaded behind that", cost, {"cpu_s": 0.1})


def test_warm_run(record, run_rounds):
    child, cost = run_rounds(lambda: blis("run", "--model", MODEL), 10)
    assert json.loads(child.stdout)["completed_requests"] == 100
    record("`blis run` of 100 requests", cost, {"wall_s": 0.5})


def test_compile(record, run_rounds, new_cache):
    _, cost = run_rounds(lambda **cache: load_engine("load", **cache), 3, setup=new_cache)
    record("engine compiled into an empty cache", cost, {"cpu_s": 20})


def test_first_run(record, run_rounds, new_cache):
    child, cost = run_rounds(lambda **cache: blis("run", "--model", MODEL, **cache), 3, setup=new_cache)
    assert "compiling the engine" in child.stderr
    assert json.loads(child.stdout)["completed_requests"] == 100
    record("`blis run` of 100 requests, empty cache", cost)
