"""How many requests per second a full system answers: what a load is a share of, and what no server exceeds.

The system is overloaded by evenly spaced arrivals, in the workload's order, and looked at while it is full: from when
the first requests that filled it are gone until the last one is let in. All at once, requests would start and end in
step with each other, which costs up to a fifth of the rate; and while a batch fills or drains there is no full system.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from blis.config.schema import ClusterOptions, Deployment, EngineOptions
from blis.errors import InputError
from blis.outcomes.outcomes import Outcomes
from blis.outcomes.statistics.estimates import Estimate, batch_means
from blis.studies.capacity.loads import Load
from blis.studies.sweep.runner import Case, Runner
from blis.workload.requests import RequestTable
from blis.workload.workload import Workload

Floats = NDArray[np.float64]
Run = Callable[[RequestTable], Outcomes]

#: Arrivals come so many times as fast as all at once are answered.
OVERLOAD = 2.0
#: Requests for each one that is served at the same time: two for the batch to fill and to renew itself, the rest to
#: look at.
TURNOVERS = 8
#: So many times as many where prompts share prefixes, of which the first half fills the cache and is not looked at.
WARMING = 4
#: Their number grows by this factor while they don't keep the system full for long enough.
GROWTH = 4
#: Fewer requests than these, while the system is full, say nothing.
FEWEST = 30
#: Those that filled the system are as good as gone when this share of them is.
GONE = 0.95
#: Equal parts of the time the system is full, for the interval of a single run.
PIECES = 64

#: For `saturation_rate`: requests that fill the system at first; of a trace, all of its own, if they are not too many.
NUM_REQUESTS = 2000
#: More would cost as much as the run at hand.
MOST_REQUESTS = 20_000
#: What its runner keeps: nothing is run twice.
_MOST_NUMBERS = 2**16


@dataclass(frozen=True)
class Guess:
    """What requests that come all at once tell: how fast to send them, and how many.

    Attributes:
        per_s: answers per second over the middle of them, the filling and draining of batches included.
        table: these requests; enough for the system to renew them `TURNOVERS` times, or as many as there may be.
    """

    per_s: float
    table: RequestTable


def filled(case: Case) -> Case:
    """The case as it is filled: all are let in, first come, first served.

    An order that prefers short requests answers more of them for as long as long ones wait; in the long run it doesn't.
    """
    engine = replace(case.engine, scheduling_policy="fcfs", scheduler="fcfs", priority_policy="constant")
    return replace(case, engine=engine, cluster=replace(case.cluster, admission_policy="always-admit"))


def guess(run: Run, load: Load, num_requests: int, most: int) -> Guess | None:
    """Run requests that are there all at once; more of them, up to ``most``, while they fill a system only briefly.

    Args:
        run: runs a table on the system.
        load: what arrives.
        num_requests: at first, if the load can have any number.
        most: requests.

    Returns:
        Of more requests than that, evenly spread ones; None if they have to do with each other, or none is answered.
    """
    while True:
        table = load.all_at_once(num_requests)
        if len(table) > most:
            if table.content is not None or load.waits:
                return None
            table = table.take(np.linspace(0, len(table) - 1, most).astype(np.int64))
        outcomes = run(table)
        start_us, end_us = _served(outcomes)
        if len(end_us) == 0:
            return None
        needed = TURNOVERS * _most_at_once(start_us, end_us) * (WARMING if table.content is not None else 1)
        if load.waits or not load.can_grow or not len(table) < needed <= most:
            return Guess(_middle_per_s(end_us), table)
        num_requests = max(needed, len(table) + 1)


def fill(run: Run, load: Load, num_requests: int, most: int) -> tuple[Guess | None, Estimate | None]:
    """A guess, and `full_rate` of the first replication; with more requests until they keep the system full.

    Long requests make the longest time of it: those that were there when it filled must leave before those come that
    are there when it drains.

    Args:
        run: as of `guess`.
        load: as there.
        num_requests: as there.
        most: as there.
    """
    at = guess(run, load, num_requests, most)
    if at is None or load.waits:
        return at, None
    while True:
        found = full_rate(run, load, at)
        more = len(at.table) * GROWTH
        if found is not None or not load.can_grow or more > most:
            return at, found
        at = replace(at, table=load.all_at_once(more))


def full_rate(run: Run, load: Load, at: Guess, replication: int = 0) -> Estimate | None:
    """Answers per second of a system that is kept full.

    Args:
        run: runs a table on the system.
        load: what arrives; none of it waits for another (`Load.waits`).
        at: how fast, and how many.
        replication: of the load.

    Returns:
        With the 95 % interval of the one run; None if it is never full for long enough to tell.
    """
    table = load.all_at_once(len(at.table), replication) if replication else at.table
    arrival_us = np.arange(len(table)) * (1e6 / (OVERLOAD * at.per_s))
    if len(table) == 0 or arrival_us[-1] > 2.0**60:
        return None
    return while_full(run(replace(table, arrival_us=np.rint(arrival_us).astype(np.int64))))


def while_full(outcomes: Outcomes) -> Estimate | None:
    """Answers per second while requests wait; None if that is too short.

    A request counts by the share of its time in service that lies within, so that it makes no difference where in their
    requests the window cuts.
    """
    start_us, end_us = _served(outcomes)
    if len(end_us) == 0:
        return None
    begin, until = _full_us(outcomes, start_us, end_us)
    if until - begin < (end_us - start_us).mean():
        return None
    edges = np.linspace(begin, until, PIECES + 1)
    answered = np.array([np.clip((edge - start_us) / (end_us - start_us), 0, 1).sum() for edge in edges])
    if answered[-1] - answered[0] < FEWEST:
        return None
    per_s = batch_means(np.diff(answered) / (until - begin) * PIECES * 1e6, warm_up=0)
    clock = per_s.mean / (until - begin)  # stamps are whole microseconds
    return replace(per_s, low=max(per_s.low, 0.0) - clock, high=per_s.high + clock)


def saturation_rate(
    deployment: Deployment, workload: Workload, engine: EngineOptions, cluster: ClusterOptions, seed: int | None
) -> float | None:
    """Answers per second when the system of a run is kept full of such requests; to a few per cent.

    Args:
        deployment: and what follows: the arguments of `blis.simulate`.
        workload: as there.
        engine: as there.
        cluster: as there.
        seed: as there.

    Returns:
        None if nothing can be said cheaply: clients wait for their answers, requests are too few to fill the system or
        too many, none of them is answered, or policies are the user's own functions.
    """
    case = filled(Case(deployment, workload, engine, cluster, seed=seed))
    if case.has_own_functions:
        return None
    runner = Runner(_MOST_NUMBERS)

    def run(table: RequestTable) -> Outcomes:
        return runner.run(replace(case, workload=table))

    try:
        load = Load(workload, seed)
        rate = None if load.waits else fill(run, load, NUM_REQUESTS, MOST_REQUESTS)[1]
    except InputError:
        return None
    return None if rate is None else rate.mean


def _full_us(outcomes: Outcomes, start_us: Floats, end_us: Floats) -> tuple[float, float]:
    """From when to when the system was full, and everyone in it had been served by a full one all the time.

    Steps are shorter while it fills and drains; who was there then would count for more than one.
    """
    result = outcomes.result
    full_us = float(_nobody_waits_until(outcomes))
    instance = result.instance[result.finished_us >= 0]
    last_us = np.zeros(len(result.instances))
    np.maximum.at(last_us, instance, start_us)
    drains_us = float(last_us[np.unique(instance)].min())
    if outcomes.table.content is not None:
        full_us = max(full_us, float(np.median(start_us)))
    filled = end_us[start_us <= full_us]
    draining = start_us[end_us > drains_us]
    begin = max(float(np.quantile(filled, GONE)) if len(filled) else 0.0, full_us)
    return begin, float(np.quantile(draining, 1 - GONE)) if len(draining) else drains_us


def _served(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """When answered requests were first scheduled, and when they were done; at least a microsecond later."""
    result = outcomes.result
    done = result.finished_us >= 0
    start_us, end_us = result.first_scheduled_us[done], result.finished_us[done]
    return start_us.astype(np.float64), np.maximum(end_us, start_us + 1).astype(np.float64)


def _nobody_waits_until(outcomes: Outcomes) -> int:
    """When the last request but those at the end arrived that found nobody waiting."""
    result = outcomes.result
    done = result.finished_us >= 0
    start_us, enqueued_us = np.sort(result.first_scheduled_us[done]), np.sort(result.enqueued_us[done])
    waiting = np.searchsorted(enqueued_us, start_us, "right") - np.arange(1, len(start_us) + 1)
    alone = np.flatnonzero(waiting[:-1] <= 0)
    return int(enqueued_us[alone[-1] + 1]) if len(alone) else int(enqueued_us[0])


def _most_at_once(start_us: Floats, end_us: Floats) -> int:
    """How many were in service at the same time."""
    started = np.searchsorted(np.sort(start_us), end_us, "left")
    ended = np.searchsorted(np.sort(end_us), end_us, "left")
    return int((started - ended).max())


def _middle_per_s(end_us: Floats) -> float:
    """Answers per second between a tenth and nine tenths of them."""
    done_us = np.sort(end_us)
    first, last = len(done_us) // 10, len(done_us) - 1 - len(done_us) // 10
    if last <= first or done_us[last] == done_us[first]:
        return 1e6 * len(done_us) / max(float(done_us[-1]), 1.0)
    return 1e6 * (last - first) / float(done_us[last] - done_us[first])
