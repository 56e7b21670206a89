"""How many requests per second a full system answers, for a run at hand: what its load is a share of."""

from __future__ import annotations

from dataclasses import replace

from blis.config.schema import ClusterOptions, Deployment, EngineOptions
from blis.errors import InputError
from blis.studies.capacity.evaluating import MOST_NUMBERS
from blis.studies.capacity.loads import Load
from blis.studies.capacity.measuring import throughput_per_s
from blis.studies.sweep.runner import Case, Runner
from blis.workload.workload import Workload

#: Requests that fill the system; of a trace, all of its own.
NUM_REQUESTS = 2000
#: Traces with more would cost as much as their run.
MOST_REQUESTS = 20_000


def saturation_rate(
    deployment: Deployment, workload: Workload, engine: EngineOptions, cluster: ClusterOptions, seed: int | None
) -> float | None:
    """Answers per second when requests of the workload are there all at once, and all are let in.

    Args:
        deployment: and what follows: the arguments of `blis.simulate`.
        workload: as there.
        engine: as there.
        cluster: as there.
        seed: as there.

    Returns:
        None if nothing can be said cheaply: clients wait for their answers, a trace is long, none of the requests is
        answered, or policies are the user's own functions.
    """
    case = Case(deployment, workload, engine, replace(cluster, admission_policy="always-admit"), seed=seed)
    if case.has_own_functions:
        return None
    try:
        load = Load(workload, seed)
        if load.waits:
            return None
        table = load.all_at_once(NUM_REQUESTS)
        if len(table) > MOST_REQUESTS:
            return None
        return throughput_per_s(Runner(MOST_NUMBERS).run(replace(case, workload=table)))
    except InputError:
        return None
