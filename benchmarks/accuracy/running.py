"""Running measured points: each as what it is, on a few processes, in their order."""

import logging
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context

import blis
from accuracy.servers import cluster_of, deployment_of, inexpressible, options_of
from accuracy.workloads import workload_of
from blis.errors import BlisError
from blis.outcomes.expected_error import load_figures

#: Of a measured figure, what blis calls it; duration and tails are not scored.
SIMULATED = {
    **{f"{name}_mean_ms": f"{name}_mean_ms" for name in ("tpot", "itl", "ttft", "e2e")},
    **{f"{name}_median_ms": f"{name}_p50_ms" for name in ("tpot", "ttft", "e2e")},
    "output_tps": "tokens_per_sec",
}
_PROCESSES = 2


@dataclass(frozen=True)
class Answer:
    """What blis says of one point.

    Attributes:
        id: of the point.
        reason: why it says nothing; None: it ran.
        cannot: whether it could not even be asked.
        simulated: figures by the names of measured ones.
        waiting: share of their time in the server that requests wait for their first step.
        in_system: requests in the server, or in each of its replicas, on average.
    """

    id: str
    reason: str | None = None
    cannot: bool = False
    simulated: dict[str, float] = field(default_factory=dict)
    waiting: float = 0.0
    in_system: float = 0.0


def run_all(points, processes=_PROCESSES):
    """The answer for each point, in the order of points."""
    if processes == 1:
        return [run_point(point) for point in points]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(pool.map(run_point, points, chunksize=8))


def run_point(point):
    """Run one point; a point that blis refuses, or fails at, has its reason instead of figures."""
    if reason := inexpressible(point):
        return Answer(point.id, reason, cannot=True)
    try:
        with quiet():
            return answer_of(point.id, prepared(point).run())
    except BlisError as error:
        return Answer(point.id, str(error))


@contextmanager
def quiet():
    """Nothing is said of runs for a while."""
    log = logging.getLogger("blis")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def prepared(point):
    """A `blis.Simulation`.

    Raises:
        BlisError: it is refused.
    """
    return blis.prepare(deployment_of(point), workload_of(point), engine=options_of(point), cluster=cluster_of(point))


def answer_of(name, outcomes):
    """The figures of a run."""
    summary = outcomes.summary
    if not summary["completed_requests"] or not summary["vllm_estimated_duration_s"]:
        return Answer(name, "no request was served")
    simulated = {measured: summary[ours] for measured, ours in SIMULATED.items() if summary[ours] is not None}
    load = load_figures(outcomes)
    return Answer(name, simulated=simulated, waiting=load.waiting, in_system=load.in_system)
