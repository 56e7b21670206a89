"""One run of the compiled engine: its arrays, how far it got, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis._core import state as core
from blis._core.codes import NEVER, NONE, RequestStatus, StepLog, StopReason, ViewColumn
from blis._core.flight_state import LAST_SEEN, Flights
from blis.config.schema import ClusterOptions, EngineConfig
from blis.errors import InvariantError
from blis.latency.law import LatencyModel
from blis.simulation import deciding, flights, loops, native, packing
from blis.simulation.chains import chains_of
from blis.simulation.control import Control, control_of
from blis.simulation.failures import failure
from blis.simulation.gaps import added_up, long_form
from blis.simulation.interrupts import uninterrupted
from blis.simulation.result import EngineResult, InstanceFigures
from blis.workload.content import SharedBlocks, shared_blocks
from blis.workload.requests import Ints, RequestTable

#: Gets finished requests, all requests, and the clock in µs.
Progress = Callable[[int, int, int], None]

#: Steps and events between two looks at progress and Ctrl-C: 1 to 200 ms; fewer if a policy runs as plain Python.
WORK_PER_CALL = 2**17
WORK_PER_CALL_IN_PYTHON = 2**9
#: Long gaps kept one by one before equal ones are added up.
MOST_LONG_GAPS = 2**20


class Decisions(NamedTuple):
    """Some of the decisions of a run, in their order, with what the policies saw of m instances.

    Attributes:
        decisions: (d, 4) `blis._core.codes.DecisionKind`, request, time in µs, answer.
        columns: (d, c, m) `blis._core.codes.ViewColumn`.
        numbers: (d, c, m) `blis._core.codes.ViewNumber`; scores are NaN where the policy gave none.
    """

    decisions: Ints
    columns: Ints
    numbers: NDArray[np.float64]


#: Gets decisions as they are made.
DecisionSink = Callable[[Decisions], None]
#: Gets the next rows of an instance's step log (`blis._core.codes.LogRecord`).
StepSink = Callable[[int, Ints], None]


def run_engine(
    table: RequestTable,
    engine: EngineConfig,
    latency: LatencyModel,
    control: Control | None = None,
    *,
    horizon_us: int | None = None,
    progress: Progress | None = None,
    decisions: DecisionSink | None = None,
    forced: tuple[int, int] = (NONE, NONE),
    blocks: SharedBlocks | None = None,
    steps: StepSink | None = None,
    log_steps: StepLog = StepLog.LOADS,
) -> EngineResult:
    """Simulate instances serving the requests of a table.

    Args:
        table: what arrives.
        engine: scheduler and KV cache of an instance.
        latency: queueing delay, step time and client-side cost per token.
        control: how many instances, and the policies; None: one instance that gets everything.
        horizon_us: nothing happens later than this, and the run is observed until then; None: run until all is done.
        progress: called now and then while the engine runs.
        decisions: gets every decision.
        forced: a request, and the instance to which it is sent whatever the routing policy says.
        blocks: what `shared_blocks` says of the table; None: it is asked.
        steps: gets the step log; with all loads the run is slower. Its result is the same.
        log_steps: what is in that log.

    Returns:
        What happened to each request; after a KeyboardInterrupt, what had happened until then.

    Raises:
        EngineError: requests preempt each other for ever, as vLLM's would, or a policy failed.
        InvariantError: the engine broke one of its own laws.
    """
    run = Run(
        table,
        engine,
        latency,
        control,
        horizon_us,
        decisions=decisions,
        forced=forced,
        blocks=blocks,
        log_steps=StepLog.NOTHING if steps is None else log_steps,
        steps=steps,
    )
    run.load()
    run.advance(progress)
    return run.result().until(horizon_us)


def load_functions(latency: LatencyModel, control: Control, *, ahead: bool) -> list[Any]:
    """Compile the engine and what it calls, or load them from where they are kept.

    Args:
        latency: has a law.
        control: has policies.
        ahead: which engine (`blis._core.entry`).

    Returns:
        Step time, priority, admission and routing; None: there is none.
    """
    native.load(ahead)
    policies = (control.priority, control.admission, control.routing)
    return [latency.compile(), *(None if policy is None else policy.compile() for policy in policies)]


class Run:
    """One run of the engine: its arrays, and how far it got. What is not said here is as in `run_engine`.

    Args:
        plain: serve every request one by one in every step: slow, with the same result.
        log_steps: what to log, see `blis._core.codes.LogRecord`; what is of every step implies ``plain``.
        steps: gets the log; None: it is kept (`Run.steps`).
    """

    def __init__(
        self,
        table: RequestTable,
        engine: EngineConfig,
        latency: LatencyModel,
        control: Control | None = None,
        horizon_us: int | None = None,
        *,
        decisions: DecisionSink | None = None,
        forced: tuple[int, int] = (NONE, NONE),
        blocks: SharedBlocks | None = None,
        plain: bool = False,
        log_steps: StepLog = StepLog.NOTHING,
        steps: StepSink | None = None,
    ) -> None:
        control = control or control_of(ClusterOptions(), engine)
        options, tracing = control.options, decisions is not None
        self._table = table
        self._latency = latency
        self._control = control
        self._decisions = decisions
        self._step_sink = steps
        self._horizon_us = packing.UNLIMITED if horizon_us is None else min(horizon_us, packing.UNLIMITED)
        self._usable_blocks = engine.total_kv_blocks - 1
        self._runs_loop = engine.runs_loop
        self._reason = StopReason.PAUSED
        self._interrupted = False
        instances, n = options.num_instances, len(table)
        self._gaps: list[list[Ints]] = [[] for _ in range(instances)]
        self._steps: list[list[Ints]] = [[] for _ in range(instances)]
        routes_by_prefix = bool(control.reads & deciding.PREFIX_SIGNALS)
        enable = engine.enable_prefix_caching or routes_by_prefix
        if blocks is None or not enable:
            blocks = shared_blocks(table, engine.block_size_tokens, enable=enable)
        prompt = deciding.prompt_blocks(table, blocks, engine.block_size_tokens, used=routes_by_prefix)
        heaps = loops.needs_heaps(table, latency, control, tracing=tracing)
        num_classes = 1 if table.slo_class is None else 1 + len(table.slo_class.names)
        self._limits = packing.limit_values(
            engine,
            latency,
            control,
            self._horizon_us,
            n,
            closed_loop=heaps,
            plain=plain or log_steps > StepLog.REQUESTS,
            log_steps=log_steps,
        )
        self._requests = packing.request_columns(table, engine, latency, options, blocks, self._horizon_us)
        self._loop = loops.loop_columns(table, engine, latency, control, needed=heaps)
        self._front_ends = loops.front_end_columns(latency, instances, n)
        self._arrivals, self._visible = (loops.event_columns(len(self._loop["successor"])) for _ in range(2))
        late = table.is_closed_loop and loops.pass_over_refused(self._requests, self._loop, self._horizon_us)
        self._queues = packing.queue_columns(table, engine, control, self._loop)
        self._pools = packing.pool_columns(engine, control, blocks.parent, n)
        self._batches = packing.batch_columns(engine, self._requests, instances, num_classes)
        self._flights = flights.flight_columns(table, engine, self._requests, (instances, num_classes))
        self._recorders = packing.recorder_columns(
            engine, instances, n, num_classes, logging=log_steps > StepLog.NOTHING
        )
        self._instances = packing.instance_columns(instances)
        self._states = [
            policy.initial_state(instances) if policy is not None else np.zeros(0)
            for policy in (control.admission, control.routing, control.priority)
        ]
        self._view = deciding.view_columns(table, engine, control, tuple(map(len, self._states)), tracing=tracing)
        self._snapshots = deciding.snapshot_columns(engine, options)
        keeps_table = "prefix_blocks" in control.reads
        chains = chains_of(blocks.parent, used=keeps_table)
        self._prefixes = deciding.table_columns(options, chains, len(blocks.parent), n, used=keeps_table)
        self._decision_log = deciding.decision_columns(instances, tracing=tracing)
        self._cluster = deciding.cluster_columns(
            control, self._requests, blocks, prompt, chains, self._horizon_us, forced, tracing=tracing
        )
        self._cluster["at"][core.LATE] = late

    def load(self) -> None:
        """Compile the engine, or load it from where it is kept."""
        functions = load_functions(self._latency, self._control, ahead=self._runs_loop)
        in_python = any(hasattr(function, "__wrapper_address__") for function in functions)
        self._work_per_call = WORK_PER_CALL_IN_PYTHON if in_python else WORK_PER_CALL
        step_time, priority, admission, routing = functions
        admission_state, routing_state, priority_state = self._states
        laws = (
            *(self._view["words"], self._view["numbers"], step_time, self._latency.parameters),
            *(priority, priority_state, admission, admission_state, routing, routing_state),
        )
        self._call = native.door(self._named(), laws, ahead=self._runs_loop)

    def _named(self) -> Any:
        """The arrays as the engine's structs."""
        struct_of, instances = native.struct_of, len(self._instances["at"])
        everywhere = {
            "limits": struct_of(core.Limits, self._limits),
            "requests": struct_of(core.Requests, self._requests),
            "shown": struct_of(core.View, self._view),
        }
        self._structs = native.structs_of(  # alive for as long as their handles are used
            core.Instance,
            self._instances,
            instances,
            **everywhere,
            queue=native.structs_of(core.WaitingQueue, self._queues, instances),
            pool=native.structs_of(core.BlockPool, self._pools, instances),
            batch=native.structs_of(core.Batch, self._batches, instances),
            recorder=native.structs_of(core.Recorder, self._recorders, instances),
            flights=self._named_flights(instances),
        )
        self._cluster["instances"][:] = native.handles_of(self._structs)
        heaps = {
            "arrivals": struct_of(core.EventQueue, self._arrivals),
            "becoming_visible": struct_of(core.EventQueue, self._visible),
        }
        return struct_of(
            core.Cluster,
            self._cluster,
            **everywhere,
            snapshots=struct_of(core.Snapshots, self._snapshots),
            table=struct_of(core.PrefixTable, self._prefixes),
            decision_log=struct_of(core.DecisionLog, self._decision_log),
            front_ends=struct_of(core.FrontEnds, self._front_ends),
            loop=struct_of(core.ClosedLoop, self._loop, **heaps),
        )

    def _named_flights(self, instances: int) -> Any:
        if self._runs_loop:
            return native.structs_of(Flights, self._flights, instances)
        return native.struct_of(Flights, self._flights)

    def advance(self, progress: Progress | None = None) -> None:
        """Run to the end, or until Ctrl-C."""
        total = len(self._table)
        try:
            with uninterrupted() as let_interrupt:  # raised as a policy in Python is entered, it would be lost
                while self._reason in (StopReason.PAUSED, StopReason.LOG_FULL, StopReason.ROUTED):
                    self._reason = StopReason(self._call(self._work_per_call))
                    self._drain_logs()
                    let_interrupt()
                    if self._reason == StopReason.ROUTED:
                        self._leave_instances_alone()
                    elif progress is not None:
                        finished, now_us = (int(self._instances["at"][:, i].sum()) for i in (core.FINISHED, core.NOW))
                        progress(finished, total, now_us // self._control.options.num_instances)
            if self._reason != StopReason.DONE:
                arrays = {"cluster": self._cluster, "instances": self._instances, "view": self._view}
                raise failure(self._reason, self._control, self._latency, states=self._states, **arrays)
        except KeyboardInterrupt:  # perhaps one that came while a policy ran, raised again by `failure`
            self._interrupted = True

    def _leave_instances_alone(self) -> None:
        """All is decided: what happens at one instance from now on touches no other."""
        by_visible = self._cluster["by_visible"]
        if self._control.options.num_instances > 1:
            by_visible[:] = by_visible[np.argsort(self._cluster["target"][by_visible], kind="stable")]
        self._cluster["at"][core.DECIDED] = 1

    def _drain_logs(self) -> None:
        for i, at in enumerate(self._recorders["at"]):
            if at[core.NUM_GAPS]:
                gaps = self._gaps[i]
                gaps.append(self._recorders["gap_log"][i, : at[core.NUM_GAPS]].copy())
                at[core.NUM_GAPS] = 0
                if sum(map(len, gaps)) > MOST_LONG_GAPS:
                    self._gaps[i] = [added_up(gaps)]
            if at[core.NUM_LOG]:
                log = self._recorders["step_log"][i, : at[core.NUM_LOG]].copy()
                if self._step_sink is None:
                    self._steps[i].append(log)
                else:
                    self._step_sink(i, log)
                at[core.NUM_LOG] = 0
        decided = self._decision_log
        rows = int(decided["at"][core.NUM_DECISIONS])
        if rows and self._decisions is not None:
            self._decisions(Decisions(*(decided[name][:rows] for name in ("decisions", "columns", "numbers"))))
            decided["at"][core.NUM_DECISIONS] = 0

    def steps(self, instance: int = 0) -> Ints:
        """The step log of an instance: (rows, 4), the first column a `blis._core.codes.LogRecord`."""
        return np.concatenate([np.empty((0, 4), np.int64), *self._steps[instance]])

    def result(self) -> EngineResult:
        """What happened, in the order of the table."""
        requests, end_us = self._requests, self._end_us()
        self._note_unfinished(end_us)
        status = requests["status"].astype(np.int64)
        target = self._cluster["target"].astype(np.int64)
        was_visible = (target != NONE) & (requests["visible_us"] <= end_us)
        result = EngineResult(
            arrival_us=requests["arrival_us"],
            enqueued_us=np.where(was_visible, requests["visible_us"], NEVER),
            first_scheduled_us=requests["first_scheduled_us"],
            first_started_us=self._first_started_us(),
            first_token_us=requests["first_token_us"],
            finished_us=np.where(status == RequestStatus.COMPLETED, requests["last_token_us"], NEVER),
            produced_tokens=requests["produced_tokens"],
            cached_tokens=requests["cached_tokens"],
            num_preemptions=requests["num_preemptions"],
            status=status,
            instance=target,
            end_us=end_us,
            usable_blocks=self._usable_blocks,
            **long_form(self._recorders["histogram"], self._recorders["at"][:, core.HISTOGRAM_USED], self._gaps),
            instances=self._instance_figures(),
            interrupted=self._interrupted,
        )
        self._check(result)
        return result

    def _end_us(self) -> int:
        """When the run ended: at the horizon if that kept anything from happening."""
        instances, requests = self._instances["at"], self._requests
        arrived = (requests["arrival_us"] != NEVER) & (requests["arrival_us"] <= self._horizon_us)
        undecided = arrived & (requests["status"] == RequestStatus.NOT_ARRIVED)
        cut = (
            undecided.any()
            or instances[:, core.IN_FLIGHT].any()
            or (self._runs_loop and (instances[:, core.WAKE] < core.FAR_FUTURE).any())
            or requests["arrival_us"].max(initial=0) > self._horizon_us
            or self._cluster["at"][core.LATE]
        )
        if cut and self._reason == StopReason.DONE:
            return self._horizon_us
        return int(self._last_end_us().max())

    def _last_end_us(self) -> Ints:
        """When the last step of each instance was over."""
        last_us: Ints = self._flights["at"][:, LAST_SEEN] if self._runs_loop else self._instances["at"][:, core.NOW]
        return last_us.copy()

    def _first_started_us(self) -> Ints:
        """When the GPU began with each request, if it did."""
        if not self._runs_loop:
            planned_us: Ints = self._requests["first_scheduled_us"]
            return planned_us
        started_us = self._flights["started_us"]
        return np.where(started_us > self._horizon_us, NEVER, started_us)

    def _note_unfinished(self, end_us: int) -> None:
        """Fill in what the engine keeps in slots until a request ends, and who never arrived."""
        requests = self._requests
        for i, at in enumerate(self._batches["at"]):
            batch = {name: column[i] for name, column in self._batches.items()}
            if self._runs_loop:
                totals = requests["prompt_tokens"] + requests["output_tokens"]
                in_flight = self._instances["at"][i, core.IN_FLIGHT]
                come = flights.known_tokens(self._flights, self._batches, totals, i, in_flight)
            slot = at[core.FIRST]
            while slot != NONE:
                request = batch["request"][slot]
                known = batch["known"][slot]
                if self._runs_loop:
                    known = come[slot]
                elif batch["is_decoder"][slot]:
                    known = batch["computed"][slot] + at[core.STEPS] + 1
                requests["produced_tokens"][request] = known - requests["prompt_tokens"][request]
                slot = batch["next"][slot]
        status = requests["status"]
        arrived = (requests["arrival_us"] != NEVER) & (requests["arrival_us"] <= end_us)
        status[(status == RequestStatus.NOT_ARRIVED) & arrived] = RequestStatus.WAITING

    def _instance_figures(self) -> InstanceFigures:
        at = self._instances["at"]
        cut = (at[:, core.IN_FLIGHT] > 0) & (self._reason == StopReason.DONE)
        num_steps = self._batches["at"][:, core.STEPS].copy()
        if self._runs_loop:
            num_steps -= flights.steps_in_flight(self._flights, at[:, core.IN_FLIGHT])
        return InstanceFigures(
            end_us=np.where(cut, self._horizon_us, self._last_end_us()),
            num_steps=num_steps,
            peak_used_blocks=self._usable_blocks - self._pools["at"][:, core.LEAST_FREE],
            queue_length_sum=at[:, core.QUEUE_SUM].copy(),
        )

    def _check(self, result: EngineResult) -> None:
        """Conservation: every request ends once, every token is accounted for, every block comes back."""
        status = result.status
        waiting, running = self._queues["at"][:, core.LENGTH].sum(), self._batches["at"][:, core.RUNNING].sum()
        if np.count_nonzero(status == RequestStatus.RUNNING) != running:
            raise InvariantError(f"{running} slots are taken by another number of running requests")
        gaps = np.maximum(result.produced_tokens - 1, 0).sum()
        if result.itl_counts.sum() > gaps:
            raise InvariantError(f"{result.itl_counts.sum()} gaps between tokens, but only {gaps} can be")
        if self._reason != StopReason.DONE or result.end_us == self._horizon_us:
            return
        if waiting or running or np.any(status == RequestStatus.WAITING):
            raise InvariantError("the run is over but requests wait or run")
        free = self._pools["at"][:, core.FREE]
        if np.any(free != self._usable_blocks):
            raise InvariantError(f"{free.min()} of {self._usable_blocks} blocks are free at the end")
        if np.any(self._view["columns"][ViewColumn.PENDING_REQUESTS] != 0):
            raise InvariantError("the run is over but requests are on their way")
        if result.itl_counts.sum() != gaps:
            raise InvariantError(f"{result.itl_counts.sum()} gaps between tokens instead of {gaps}")
