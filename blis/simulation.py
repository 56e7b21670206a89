"""The bridge between tables and the compiled engine: packs arrays, drives it, unpacks what happened."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core import entry
from blis._core import state as core
from blis._core.codes import NEVER, NONE, RequestStatus, StopReason
from blis.config.schema import EngineConfig
from blis.errors import EngineError, InvariantError
from blis.latency.law import LatencyModel
from blis.policies.scheduling import request_priority, waiting_order
from blis.result import EngineResult
from blis.workload.content import shared_blocks
from blis.workload.requests import RequestTable

Ints = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]
#: Gets finished requests, all requests, and the clock in µs.
Progress = Callable[[int, int, int], None]

logger = logging.getLogger("blis")

#: Stand for "no limit" where the engine takes a minimum; the second may be multiplied by a block size.
UNLIMITED = 2**62
UNLIMITED_BLOCKS = 2**40
#: Gaps below this many µs are counted in an array, longer ones in a log.
HISTOGRAM_US = 2**17
#: Steps between two looks at progress and Ctrl-C: 1 to 200 ms.
STEPS_PER_CALL = 2**17
#: Long gaps kept one by one before equal ones are added up.
MOST_LONG_GAPS = 2**20
#: Rows the logs have beyond what one step can add.
LOG_ROWS = 2**16
#: An engine that is not loaded after this long is being compiled; that is announced.
ANNOUNCE_AFTER_S = 1.0


def run_engine(
    table: RequestTable,
    engine: EngineConfig,
    latency: LatencyModel,
    *,
    horizon_us: int | None = None,
    progress: Progress | None = None,
) -> EngineResult:
    """Simulate one instance serving the requests of a table.

    Args:
        table: what arrives.
        engine: scheduler and KV cache.
        latency: queueing delay, step time and client-side cost per token.
        horizon_us: nothing happens later than this; None: run until all is done.
        progress: called now and then while the engine runs.

    Returns:
        What happened to each request; after a KeyboardInterrupt, what had happened until then.

    Raises:
        EngineError: requests preempt each other for ever, as vLLM's would.
        InvariantError: the engine broke one of its own laws.
    """
    run = Run(table, engine, latency, horizon_us)
    run.load()
    run.advance(progress)
    return run.result()


class Run:
    """One run of the engine: its arrays, and how far it got.

    Args:
        table: what arrives.
        engine: scheduler and KV cache.
        latency: queueing delay, step time and client-side cost per token.
        horizon_us: nothing happens later than this; None: run until all is done.
        plain: serve every request one by one in every step: slow, with the same result.
        log_steps: keep every step in `steps`, see `blis._core.codes.LogRecord`; implies ``plain``.
    """

    def __init__(
        self,
        table: RequestTable,
        engine: EngineConfig,
        latency: LatencyModel,
        horizon_us: int | None = None,
        *,
        plain: bool = False,
        log_steps: bool = False,
    ) -> None:
        self._table = table
        self._latency = latency
        self._horizon_us = UNLIMITED if horizon_us is None else horizon_us
        self._usable_blocks = engine.total_kv_blocks - 1
        self._reason = StopReason.PAUSED
        self._interrupted = False
        self._gaps: list[Ints] = []
        self._steps: list[Ints] = []
        modes = {"plain": plain or log_steps, "log_steps": log_steps}
        self._limits = _limits(engine, latency, self._horizon_us, len(table), **modes)
        self._requests = _request_columns(table, engine, latency, self._horizon_us)
        self._queue = _queue_columns(table, engine)
        shared = shared_blocks(table, engine.block_size_tokens, enable=engine.enable_prefix_caching)
        self._requests |= {"num_shared": shared.num_shared, "leaf": shared.leaf}
        self._pool = _pool_columns(engine, shared.parent, len(table))
        self._batch = _batch_columns(engine, self._requests)
        self._recorder = _recorder_columns(engine, len(table))
        self._at = np.zeros(core.INSTANCE_SCALARS, np.int64)
        self._at[core.BLOCKED_REQUEST] = NONE
        self._load = np.zeros(core.LOAD_SCALARS, np.int64)

    def load(self) -> None:
        """Compile the engine, or load it from numba's cache; says so if that takes long."""
        if getattr(entry.run, "signatures", True):  # loaded before, or plain Python under NUMBA_DISABLE_JIT
            self._law = self._latency.compile()
            return
        text = "compiling the engine (once per version and machine, about 10 s)"
        timer = threading.Timer(ANNOUNCE_AFTER_S, logger.warning, (text,))
        timer.daemon = True
        timer.start()
        try:
            self._law = self._latency.compile()
            self._call(0)
        finally:
            timer.cancel()

    def _call(self, max_steps: int) -> StopReason:
        columns = (self._requests, self._queue, self._pool, self._batch, self._recorder)
        reason = entry.run(
            self._limits,
            *(tuple(struct.values()) for struct in columns),
            self._at,
            self._load,
            self._law,
            self._latency.parameters,
            max_steps,
        )
        return StopReason(reason)

    def advance(self, progress: Progress | None = None) -> None:
        """Run to the end, or until Ctrl-C."""
        total = len(self._requests["order"])
        try:
            while self._reason in (StopReason.PAUSED, StopReason.LOG_FULL):
                self._reason = self._call(STEPS_PER_CALL)
                self._drain_logs()
                if progress is not None:
                    waiting = self._queue["at"][core.LENGTH]
                    running = self._batch["at"][core.RUNNING]
                    finished = int(self._at[core.CURSOR] - waiting - running)
                    progress(finished, total, int(self._at[core.NOW]))
        except KeyboardInterrupt:
            self._interrupted = True
            self._drain_logs()
        if self._reason == StopReason.LIVELOCK:
            raise EngineError(
                f"livelock at {self._at[core.NOW]} µs: requests keep preempting each other and none gets a token; "
                "give the KV cache more blocks or switch prefix caching on"
            )
        if self._reason == StopReason.STALLED:
            raise InvariantError(f"stalled at {self._at[core.NOW]} µs: requests wait, but no step can serve any")

    def _drain_logs(self) -> None:
        at = self._recorder["at"]
        if at[core.NUM_GAPS]:
            self._gaps.append(self._recorder["gap_log"][: at[core.NUM_GAPS]].copy())
            at[core.NUM_GAPS] = 0
            if sum(map(len, self._gaps)) > MOST_LONG_GAPS:
                self._gaps = [np.stack(self._long_gaps(), axis=1)]
        if at[core.NUM_LOG]:
            self._steps.append(self._recorder["step_log"][: at[core.NUM_LOG]].copy())
            at[core.NUM_LOG] = 0

    @property
    def steps(self) -> Ints:
        """The step log: (rows, 4), the first column a `blis._core.codes.LogRecord`."""
        return np.concatenate([np.empty((0, 4), np.int64), *self._steps])

    def result(self) -> EngineResult:
        """What happened, in the order of the table."""
        requests = self._requests
        self._note_unfinished()
        values, counts = self._histogram()
        status = requests["status"].astype(np.int64)
        end_us = self._end_us()
        was_visible = (status < RequestStatus.REJECTED) & (requests["visible_us"] <= end_us)
        result = EngineResult(
            enqueued_us=np.where(was_visible, requests["visible_us"], NEVER),
            first_scheduled_us=requests["first_scheduled_us"],
            first_token_us=requests["first_token_us"],
            finished_us=np.where(status == RequestStatus.COMPLETED, requests["last_token_us"], NEVER),
            produced_tokens=requests["produced_tokens"],
            cached_tokens=requests["cached_tokens"],
            num_preemptions=requests["num_preemptions"],
            status=status,
            end_us=end_us,
            num_steps=int(self._batch["at"][core.STEPS]),
            peak_used_blocks=self._usable_blocks - int(self._pool["at"][core.LEAST_FREE]),
            usable_blocks=self._usable_blocks,
            itl_values_us=values,
            itl_counts=counts,
            interrupted=self._interrupted,
        )
        self._check(result)
        return result

    def _note_unfinished(self) -> None:
        """Fill in what the engine keeps in slots until a request ends, and who never arrived."""
        batch, requests = self._batch, self._requests
        slot = batch["at"][core.FIRST]
        while slot != NONE:
            request = batch["request"][slot]
            known = batch["known"][slot]
            if batch["is_decoder"][slot]:
                known = batch["computed"][slot] + batch["at"][core.STEPS] + 1
            requests["produced_tokens"][request] = known - requests["prompt_tokens"][request]
            slot = batch["next"][slot]
        status = requests["status"]
        arrived = self._table.arrival_us <= self._end_us()
        status[(status == RequestStatus.NOT_ARRIVED) & arrived] = RequestStatus.WAITING

    def _end_us(self) -> int:
        """When the run ended: at the horizon if that kept anything from happening."""
        late = bool(np.any(self._table.arrival_us > self._horizon_us))
        if self._reason == StopReason.HORIZON or (late and self._reason == StopReason.DONE):
            return self._horizon_us
        return int(self._at[core.NOW])

    def _histogram(self) -> tuple[Ints, Ints]:
        """All gaps as ascending values and their counts."""
        short = self._recorder["histogram"]
        seen = np.flatnonzero(short)
        values, counts = self._long_gaps()
        return np.concatenate([seen, values]), np.concatenate([short[seen], counts])

    def _long_gaps(self) -> tuple[Ints, Ints]:
        """Those beyond the recorder's histogram, likewise."""
        rows = np.concatenate([np.empty((0, 2), np.int64), *self._gaps])
        values, index = np.unique(rows[:, 0], return_inverse=True)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, index, rows[:, 1])
        return values, counts

    def _check(self, result: EngineResult) -> None:
        """Conservation: every request ends once, every token is accounted for, every block comes back."""
        status = result.status
        waiting, running = self._queue["at"][core.LENGTH], self._batch["at"][core.RUNNING]
        if np.count_nonzero(status == RequestStatus.RUNNING) != running:
            raise InvariantError(f"{running} slots are taken by another number of running requests")
        gaps = np.maximum(result.produced_tokens - 1, 0).sum()
        if result.itl_counts.sum() > gaps:
            raise InvariantError(f"{result.itl_counts.sum()} gaps between tokens, but only {gaps} can be")
        if self._reason != StopReason.DONE:
            return
        if waiting or running or np.any(status == RequestStatus.WAITING):
            raise InvariantError("the run is over but requests wait or run")
        if self._pool["at"][core.FREE] != self._usable_blocks:
            raise InvariantError(f"{self._pool['at'][core.FREE]} of {self._usable_blocks} blocks are free at the end")
        if result.itl_counts.sum() != gaps:
            raise InvariantError(f"{result.itl_counts.sum()} gaps between tokens instead of {gaps}")


def effective_output(table: RequestTable, engine: EngineConfig) -> Ints:
    """Output tokens each request will get: generation stops when input + output reaches ``max_model_len``."""
    if engine.max_model_len is None:
        return table.output_tokens
    room = np.maximum(engine.max_model_len - table.input_tokens, 1)  # vLLM gives a full prompt one token
    return np.minimum(table.output_tokens, room)


def refusals(table: RequestTable, engine: EngineConfig) -> NDArray[np.int8]:
    """Status of each request at its arrival: refused, or not arrived yet.

    A prompt longer than ``max_model_len`` is refused as vLLM's front end does; so is a request that needs more
    blocks than there are: vLLM rules that out at start-up, its scheduler would stall.
    """
    status = np.full(len(table), RequestStatus.NOT_ARRIVED, np.int8)
    last_token_without_kv = np.maximum(effective_output(table, engine), 1) - 1
    needed = -(-(table.input_tokens + last_token_without_kv) // engine.block_size_tokens)
    status[needed > engine.total_kv_blocks - 1] = RequestStatus.REFUSED_NEVER_FITS
    if engine.max_model_len is not None:
        most = engine.max_model_len - int(engine.refuse_prompt_of_max_model_len)
        status[table.input_tokens > most] = RequestStatus.REFUSED_TOO_LONG
    return status


def num_slots(engine: EngineConfig, num_requests: int) -> int:
    """Most requests that can run at once."""
    return max(1, min(engine.max_num_running_reqs, num_requests))


def _limits(
    engine: EngineConfig, latency: LatencyModel, horizon_us: int, num_requests: int, *, plain: bool, log_steps: bool
) -> tuple[int, ...]:
    """In the order of `blis._core.state.Limits`."""
    block_size = engine.block_size_tokens
    max_blocks = UNLIMITED_BLOCKS if engine.max_model_len is None else -(-engine.max_model_len // block_size)
    return (
        block_size,
        num_slots(engine, num_requests),
        engine.max_num_scheduled_tokens,
        engine.long_prefill_token_threshold or UNLIMITED,
        -(-engine.preallocated_tokens // block_size),
        max_blocks,
        int(engine.kv_watermark * engine.total_kv_blocks),
        int(engine.enable_prefix_caching),
        int(engine.free_keyless_blocks_first),
        int(engine.threshold_spares_lone_request),
        int(engine.reserve_full_prompt),
        int(engine.scheduling_policy == "priority"),
        int(engine.scheduling_policy == "priority" or engine.scheduler != "fcfs"),
        int(latency.last_prompt_token_is_decode),
        int(plain),
        int(log_steps),
        horizon_us,
    )


def _request_columns(table: RequestTable, engine: EngineConfig, latency: LatencyModel, horizon_us: int) -> Columns:
    """In the order of `blis._core.state.Requests`, but for the last two columns."""
    n = len(table)
    status = refusals(table, engine)
    delay_us = (latency.alpha[0] + latency.alpha[1] * table.input_tokens).astype(np.int64)
    visible_us = table.arrival_us + delay_us
    order = np.argsort(visible_us, kind="stable")
    status[table.arrival_us > horizon_us] = RequestStatus.NOT_ARRIVED
    takes_part = (status == RequestStatus.NOT_ARRIVED) & (table.arrival_us <= horizon_us)
    return {
        "order": order[takes_part[order]],
        "visible_us": visible_us,
        "prompt_tokens": table.input_tokens,
        "output_tokens": effective_output(table, engine),
        "first_scheduled_us": np.full(n, NEVER, np.int64),
        "first_token_us": np.full(n, NEVER, np.int64),
        "last_token_us": np.full(n, NEVER, np.int64),
        "produced_tokens": np.zeros(n, np.int64),
        "cached_tokens": np.zeros(n, np.int64),
        "num_preemptions": np.zeros(n, np.int64),
        "status": status,
    }


def _queue_columns(table: RequestTable, engine: EngineConfig) -> Columns:
    """In the order of `blis._core.state.WaitingQueue`."""
    by_rank = waiting_order(table, engine)
    if by_rank is None:
        by_rank = np.empty(0, np.int64)
    n = len(by_rank)
    rank = np.empty(n, np.int64)
    rank[by_rank] = np.arange(n)
    arrival_us, priority = table.arrival_us[by_rank], request_priority(table)[by_rank]
    differs = (np.diff(arrival_us) != 0) | (np.diff(priority) != 0)
    victim_rank = np.zeros(n, np.int64)
    victim_rank[by_rank[1:]] = np.cumsum(differs)
    return {
        "at": np.zeros(core.QUEUE_SCALARS, np.int64),
        "next": np.empty(len(table), np.int32),
        "heap": np.empty(n, np.int64),
        "rank": rank,
        "by_rank": by_rank,
        "victim_rank": victim_rank,
    }


def _pool_columns(engine: EngineConfig, content_parent: NDArray[np.int32], num_requests: int) -> Columns:
    """In the order of `blis._core.state.BlockPool`."""
    usable = engine.total_kv_blocks - 1  # vLLM keeps block 0 as a dummy
    at = np.zeros(core.POOL_SCALARS, np.int64)
    at[[core.FREE, core.FRONT, core.LEAST_FREE]] = usable
    at[core.SPARE_NODE] = NONE
    places = usable + 1  # each node but the sentinel holds a block; all of them may have to be extra nodes
    nodes = np.empty((2 * places, core.NODE_COLUMNS), np.int32)
    nodes[core.SENTINEL] = core.SENTINEL
    place_taken = np.zeros(places, np.int8)
    place_taken[core.SENTINEL] = 1
    contents = np.empty((len(content_parent), core.CONTENT_COLUMNS), np.int32)
    contents[:, core.PARENT] = content_parent
    contents[:, core.COPY] = NONE
    return {
        "at": at,
        "nodes": nodes,
        "rings": np.empty((len(nodes), core.RING_COLUMNS), np.int32),
        "place_taken": place_taken,
        "contents": contents,
        "extent": np.full(num_requests, NONE, np.int32),
        "extent_keyed": np.empty(num_requests, np.int32),
    }


def _batch_columns(engine: EngineConfig, requests: Columns) -> Columns:
    """In the order of `blis._core.state.Batch`."""
    slots = num_slots(engine, len(requests["status"]))
    at = np.zeros(core.BATCH_SCALARS, np.int64)
    at[[core.FIRST, core.LAST]] = NONE
    longest = int(requests["output_tokens"][requests["order"]].max(initial=1))
    prealloc_blocks = -(-engine.preallocated_tokens // engine.block_size_tokens)
    per_slot = (
        "request admission next prev is_decoder computed known held shared scheduled explicit phase cap_step last_step"
        " event due calendar_next calendar_prev"
    )
    return {
        "at": at,
        "free_slots": np.arange(slots - 1, -1, -1),
        **{name: np.zeros(slots, np.int64) for name in per_slot.split()},
        "calendar": np.full(1 << longest.bit_length(), NONE, np.int32),  # longer than any decode
        "phase_count": np.zeros(engine.block_size_tokens * (1 + prealloc_blocks), np.int64),
        "shared_nodes": np.empty((slots, requests["num_shared"].max(initial=0)), np.int32),
        "scratch": np.empty(slots, np.int64),
    }


def _recorder_columns(engine: EngineConfig, num_requests: int) -> Columns:
    """In the order of `blis._core.state.Recorder`."""
    slots = num_slots(engine, num_requests)
    return {
        "at": np.zeros(core.RECORDER_SCALARS, np.int64),
        "histogram": np.zeros(HISTOGRAM_US, np.int64),
        "gap_log": np.empty((slots + 1 + LOG_ROWS, 2), np.int64),
        "step_log": np.empty((3 * slots + 3 + LOG_ROWS, 4), np.int64),
    }
