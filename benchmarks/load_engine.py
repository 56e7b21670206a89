"""What getting the engine ready costs in this very process: a script for bench_startup.py, prints JSON."""

import json
import sys
import time

clocks = [(time.perf_counter(), time.process_time())]

import numpy as np  # noqa: E402  imports are the first thing timed

from blis.config.schema import EngineConfig  # noqa: E402
from blis.latency.blackbox import blackbox_model  # noqa: E402
from blis.simulation import Run  # noqa: E402
from blis.workload.requests import RequestTable  # noqa: E402

ten = np.full(10, 10)
run = Run(RequestTable(np.arange(10), ten, ten), EngineConfig(1_000), blackbox_model((0, 0, 0), (1_000, 10, 10)))
clocks.append((time.perf_counter(), time.process_time()))
run.load()
clocks.append((time.perf_counter(), time.process_time()))
run.advance()
assert run.result().produced_tokens.sum() == 100

(wall, cpu), (imported_wall, imported_cpu), (loaded_wall, loaded_cpu) = clocks
figures = {
    "import": {"wall_s": imported_wall - wall, "cpu_s": imported_cpu - cpu},
    "load": {"wall_s": loaded_wall - imported_wall, "cpu_s": loaded_cpu - imported_cpu},
}
sys.stdout.write(json.dumps(figures))
