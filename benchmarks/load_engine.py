"""What getting the engine ready costs in this very process: a script for bench_startup.py, prints JSON."""

import json
import sys
import time


def clocks():
    return {"wall_s": time.perf_counter(), "cpu_s": time.process_time()}


def since(began):
    return {name: seconds - began[name] for name, seconds in clocks().items()}


began = clocks()

import numpy as np  # noqa: E402  imports are the first thing timed

from blis.config.schema import EngineConfig  # noqa: E402
from blis.latency.blackbox import blackbox_model  # noqa: E402
from blis.simulation import Run  # noqa: E402
from blis.workload.requests import RequestTable  # noqa: E402

start = since(began)

ten = np.full(10, 10)
run = Run(RequestTable(np.arange(10), ten, ten), EngineConfig(1_000), blackbox_model((0, 0, 0), (1_000, 10, 10)))
began = clocks()
run.load()
load = since(began)
run.advance()
assert run.result().produced_tokens.sum() == 100
sys.stdout.write(json.dumps({"start": start, "load": load}))
