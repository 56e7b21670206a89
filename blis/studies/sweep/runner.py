"""Many runs in one process, one compiled engine, any number of threads: what runs have in common is made once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache

from blis.api import load_requests, seed_of
from blis.config.resolve import Resolved, look_up, resolve_engine
from blis.config.schema import ClusterOptions, Deployment, EngineConfig, EngineOptions, is_function_name, is_own_law
from blis.errors import BlisError
from blis.outcomes.outcomes import Outcomes
from blis.simulation import Control, Run, control_of, load_functions
from blis.workload.content import SharedBlocks, shared_blocks
from blis.workload.frames import FrameWorkload
from blis.workload.requests import LiteralTokens, RequestTable
from blis.workload.traces.loading import TraceFile
from blis.workload.workload import Workload

#: Numbers that the kept tables may hold together, about: 1 GiB.
_MOST_NUMBERS = 2**27
#: Columns a request of a table has, about.
_COLUMNS = 8
#: Deployments and clusters that are kept; those of a larger sweep are decided anew for each run.
_MOST_KEPT = 2**12


class StoppedError(BlisError):
    """Runs were told to stop."""


@dataclass(frozen=True)
class Case:
    """One run, described; the fields are the arguments of `blis.simulate`.

    Attributes:
        deployment: what runs on which hardware.
        workload: what arrives.
        engine: vLLM server parameters.
        cluster: how many instances, and their policies.
        horizon_us: end of the simulated time; None: that of the workload, or until everything is finished.
        seed: of all draws; None: that of the workload, or 42.
        step_factor: steps take so many times as long as the law says.
    """

    deployment: Deployment
    workload: Workload
    engine: EngineOptions = field(default_factory=EngineOptions)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    horizon_us: int | None = None
    seed: int | None = None
    step_factor: float = 1.0

    @property
    def has_own_functions(self) -> bool:
        """Whether a policy or the law of step time is a function of the user's own."""
        names = (self.engine.priority_policy, self.cluster.admission_policy, self.cluster.routing_policy)
        return is_own_law(self.deployment.latency_model) or any(map(is_function_name, names))


class Runner:
    """Runs cases, from any number of threads at once.

    Requests are drawn or read once for all cases with the same workload, seed and horizon, the KV blocks they share
    found once per block size. Cases that call functions of the user's own run one at a time: such functions may be
    plain Python, and need not know that others call them, too.

    Args:
        most_numbers: that tables kept for later cases may hold together, about, of 8 bytes each; None: 1 GiB.
    """

    def __init__(self, most_numbers: int | None = None) -> None:
        self._tables = _Tables(most_numbers)
        known = lru_cache(_MOST_KEPT)(look_up)
        self._resolve = lru_cache(_MOST_KEPT)(lambda deployment, options: resolve_engine(known(deployment), options))
        self._control = lru_cache(_MOST_KEPT)(control_of)
        self._lock = threading.Lock()
        self._own_functions = threading.Lock()
        self._stopped = threading.Event()

    def check(self, case: Case) -> Resolved:
        """Decide everything about a case but its requests; what is decided is kept for its run.

        Raises:
            InputError: something asked for is wrong.
        """
        resolved = self._resolve(case.deployment, case.engine)
        self._control_of(case, resolved.engine)
        return resolved

    def requests(self, case: Case) -> RequestTable:
        """The requests of a case, drawn or read.

        Raises:
            InputError: the workload makes no sense, or a file of it cannot be read.
        """
        return self._tables.get(case).table

    def load(self, case: Case) -> None:
        """Compile or load all that a case calls."""
        resolved = self._resolve(case.deployment, case.engine)
        with self._lock:
            control = self._control(case.cluster, resolved.engine)
            load_functions(resolved.latency, control, ahead=resolved.engine.runs_loop)

    def run(self, case: Case) -> Outcomes:
        """Run a case to its end; its outcomes have no metadata.

        Raises:
            InputError: something asked for is wrong.
            EngineError: the run failed.
            StoppedError: `stop` was called.
        """
        if case.has_own_functions:
            with self._own_functions:
                return self._run(case)
        return self._run(case)

    def stop(self) -> None:
        """End all runs that are under way soon, and refuse others."""
        self._stopped.set()

    def _run(self, case: Case) -> Outcomes:
        self._check_stopped()
        resolved = self._resolve(case.deployment, case.engine)
        requests = self._tables.get(case)
        run = Run(
            requests.table,
            resolved.engine,
            resolved.latency.scaled(case.step_factor),
            self._control_of(case, resolved.engine),
            requests.horizon_us,
            blocks=requests.blocks(resolved.engine),
        )
        with self._lock:  # the first run compiles, or loads what was compiled
            run.load()
        run.advance(self._interrupt)
        result = run.result().until(requests.horizon_us)
        if result.interrupted:
            self._check_stopped()
            raise KeyboardInterrupt
        return Outcomes.of(requests.table, result, resolved.latency, {})

    def _control_of(self, case: Case, engine: EngineConfig) -> Control:
        with self._lock:  # loading a file of functions is not for two threads at a time
            return self._control(case.cluster, engine)

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise StoppedError("stopped")

    def _interrupt(self, *_: int) -> None:
        """Asked now and then while the engine runs; what Ctrl-C does to a run, `stop` does to all."""
        if self._stopped.is_set():
            raise KeyboardInterrupt


class _Requests:
    """What arrives, for one or many cases; made when it is first asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.horizon_us: int | None = None
        self._table: RequestTable | None = None
        self._blocks: dict[int, SharedBlocks] = {}

    def load(self, case: Case) -> int:
        """Draw or read the requests, unless that was done before; about how many numbers that has added."""
        with self.lock:
            if self._table is not None:
                return 0
            table, self.horizon_us = load_requests(case.workload, seed_of(case.workload, case.seed), case.horizon_us)
            self._table = table
            return self.numbers

    @property
    def table(self) -> RequestTable:
        """The requests; `load` comes before."""
        assert self._table is not None
        return self._table

    def blocks(self, engine: EngineConfig) -> SharedBlocks | None:
        """The KV blocks that requests share; None where nobody needs them or there are none."""
        if self.table.content is None or not engine.enable_prefix_caching:
            return None
        size = engine.block_size_tokens
        with self.lock:
            if size not in self._blocks:
                self._blocks[size] = shared_blocks(self.table, size)
            return self._blocks[size]

    @property
    def numbers(self) -> int:
        """How much memory it takes, about, in numbers."""
        if self._table is None:
            return 0
        content = self._table.content
        tokens = len(content.token_ids) if isinstance(content, LiteralTokens) else 0
        return tokens + len(self._table) * _COLUMNS


class _Tables:
    """Requests by what they are drawn or read from; those used last are kept, as far as there is room."""

    def __init__(self, most_numbers: int | None) -> None:
        self._most_numbers = _MOST_NUMBERS if most_numbers is None else most_numbers
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Requests] = OrderedDict()
        self._numbers = 0

    def get(self, case: Case) -> _Requests:
        """The requests of a case."""
        key = _key(case)
        with self._lock:
            requests = self._kept.setdefault(key, _Requests())
            self._kept.move_to_end(key)
        added = requests.load(case)
        with self._lock:
            if key in self._kept:
                self._numbers += added
            while self._numbers > self._most_numbers and len(self._kept) > 1:
                self._numbers -= self._kept.popitem(last=False)[1].numbers
        return requests


def _key(case: Case) -> Hashable:
    is_drawn = not isinstance(case.workload, RequestTable | TraceFile | FrameWorkload)
    return case.workload, case.seed if is_drawn else None, case.horizon_us
