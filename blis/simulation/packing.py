"""The engine's arrays, allocated and filled in the order of the structs in `blis._core.state`.

Arrays that each instance has for itself are stacked along a first axis; `SHARED` names those that it has not. Large
ones are left to the operating system to fill: only what is touched takes memory.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core import state as core
from blis._core.codes import NEVER, NONE, RequestStatus, StepLog
from blis.config.schema import ClusterOptions, EngineConfig
from blis.errors import WorkloadError
from blis.latency.law import LatencyModel
from blis.policies.scheduling import request_priority, waiting_order
from blis.simulation.control import Control
from blis.simulation.sparse import sparse
from blis.workload.content import SharedBlocks
from blis.workload.requests import Ints, RequestTable

Columns = dict[str, Any]


class Unused(Columns):
    """Arrays of a struct that the engine does not look into: the same object for all runs."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


#: Arrays of the waiting queue, the block pool and the plans in flight that all instances share.
SHARED = frozenset(
    ("behind", "rank", "by_rank", "victim_rank", "parent", "extent", "extent_keyed", "foreseen", "started_us")
)
#: Stand for "no limit" where the engine takes a minimum; the second may be multiplied by a block size.
UNLIMITED = 2**60
UNLIMITED_BLOCKS = 2**40
#: Numbers that keep equal places of different instances apart in the CPU's caches, whose size is a power of two.
_LINE = 24
#: Gaps below this many µs are counted in an array, longer ones in a log.
HISTOGRAM_US = 2**17 + _LINE
#: Service classes that gaps are told apart by; each takes a megabyte per instance.
MOST_CLASSES = 126
#: Rows that the logs of gaps and of steps have beyond what one step can add.
GAP_ROWS = 2**12
LOG_ROWS = 2**16
#: Arrays of the batch with a number per slot.
_PER_SLOT = (
    *("free_slots", "scratch", "request", "admission", "next", "prev", "is_decoder", "computed", "known", "held"),
    *("shared", "scheduled", "explicit", "phase", "cap_step", "last_step", "event", "due"),
    *("calendar_next", "calendar_prev"),
)
#: What requests begin with: nothing has happened to them.
_STAMPS = ("first_scheduled_us", "first_token_us", "last_token_us")
_COUNTS = ("produced_tokens", "cached_tokens", "num_preemptions")


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


def limit_values(
    engine: EngineConfig,
    latency: LatencyModel,
    control: Control,
    horizon_us: int,
    num_requests: int,
    *,
    closed_loop: bool,
    plain: bool,
    log_steps: StepLog,
) -> Columns:
    """`blis._core.state.Limits`."""
    block_size = engine.block_size_tokens
    max_blocks = UNLIMITED_BLOCKS if engine.max_model_len is None else -(-engine.max_model_len // block_size)
    dynamic = {"priority-fcfs": 1, "reverse-priority": -1}.get(engine.scheduler, 0)
    values = (
        block_size,
        num_slots(engine, num_requests),
        engine.max_num_scheduled_tokens,
        engine.long_prefill_token_threshold or UNLIMITED,
        -(-engine.preallocated_tokens // block_size),
        max_blocks,
        int(engine.kv_watermark * engine.total_kv_blocks),
        engine.total_kv_blocks - 1,
        int(engine.enable_prefix_caching),
        int(engine.free_keyless_blocks_first),
        int(engine.threshold_spares_lone_request),
        int(engine.reserve_full_prompt),
        int(engine.scheduling_policy == "priority"),
        int(closed_loop),
        int(engine.scheduling_policy == "priority" or engine.scheduler != "fcfs"),
        dynamic if control.priority is not None else 0,
        int(latency.last_prompt_token_is_decode),
        int(plain),
        int(log_steps),
        horizon_us,
        *(int(engine.async_scheduling), engine.schedule_us, engine.yield_us),
    )
    return dict(zip(core.Limits.__annotations__, values, strict=True))


def request_columns(
    table: RequestTable,
    engine: EngineConfig,
    latency: LatencyModel,
    options: ClusterOptions,
    blocks: SharedBlocks,
    horizon_us: int,
) -> Columns:
    """`blis._core.state.Requests`; a request becomes visible at the time given here if it is let in."""
    n = len(table)
    delay_us = (latency.alpha[0] + latency.alpha[1] * table.input_tokens).astype(np.int64)
    delay_us += options.admission_latency_us + options.routing_latency_us
    arrival_us, status = table.arrival_us, refusals(table, engine)
    status[arrival_us > horizon_us] = RequestStatus.NOT_ARRIVED
    if table.sessions is not None and table.is_closed_loop:
        waits = table.sessions.after >= 0
        delay_us = np.where(waits, delay_us - arrival_us, delay_us)
        arrival_us = np.where(waits, NEVER, arrival_us)
        status[waits] = RequestStatus.NOT_ARRIVED
    cached = engine.enable_prefix_caching
    slo_class = table.slo_class
    if slo_class is not None and len(slo_class.names) > MOST_CLASSES:
        raise WorkloadError(f"slo_class: at most {MOST_CLASSES} different classes, got {len(slo_class.names)}")
    return {
        "arrival_us": arrival_us,
        "visible_us": table.arrival_us + delay_us,  # of those who wait for others: from their arrival on
        "prompt_tokens": table.input_tokens,
        "output_tokens": effective_output(table, engine),
        **dict(zip(_STAMPS, np.full((len(_STAMPS), n), NEVER, np.int64), strict=True)),
        **dict(zip(_COUNTS, np.zeros((len(_COUNTS), n), np.int64), strict=True)),
        "status": status,
        "num_shared": blocks.num_shared if cached else np.zeros(n, np.int32),
        "leaf": blocks.leaf if cached else np.full(n, NONE, np.int32),
        "gap_class": np.zeros(n, np.int8) if slo_class is None else (slo_class.codes + 1).astype(np.int8),
    }


def of_instance(columns: Columns, i: int) -> tuple[NDArray[Any], ...]:
    """The arrays that instance ``i`` gets."""
    return tuple(column if name in SHARED else column[i] for name, column in columns.items())


def instance_columns(instances: int) -> Columns:
    """The arrays that `blis._core.state.Instance` has directly."""
    at = np.zeros((instances, core.INSTANCE_SCALARS), np.int64)
    at[:, core.WAKE] = core.FAR_FUTURE
    at[:, core.BLOCKED_REQUEST] = NONE
    return {
        "at": at,
        "load": np.zeros((instances, core.LOAD_SCALARS), np.int64),
    }


def queue_columns(table: RequestTable, engine: EngineConfig, control: Control, loop: Columns) -> Columns:
    """`blis._core.state.WaitingQueue`. In a closed loop requests get their ranks when they arrive."""
    instances = control.options.num_instances
    by_rank = waiting_order(table, engine)
    at, behind = np.zeros((instances, core.QUEUE_SCALARS), np.int64), np.empty(len(table), np.int32)
    if by_rank is None:
        none, nowhere = np.empty(0, np.int64), np.empty((instances, 0), np.int64)
        return {
            **{"at": at, "behind": behind, "heap": nowhere, "rank": none, "by_rank": none, "victim_rank": none},
            "key": np.empty((instances, 0)),
        }
    if len(loop["admitted"]):
        by_rank = loop["admitted"]
    n = len(by_rank)
    rank = np.empty(n, np.int64)
    rank[by_rank] = np.arange(n)
    arrival_us, priority = table.arrival_us[by_rank], request_priority(table)[by_rank]
    differs = (np.diff(arrival_us) != 0) | (np.diff(priority) != 0)
    victim_rank = np.zeros(n, np.int64)
    victim_rank[by_rank[1:]] = np.cumsum(differs)
    return {
        "at": at,
        "behind": behind,
        "heap": np.empty((instances, n), np.int64),
        "rank": rank,
        "by_rank": by_rank,
        "victim_rank": victim_rank,
        "key": np.empty((instances, n if control.priority is not None else 0)),
    }


def pool_columns(engine: EngineConfig, control: Control, parent: NDArray[np.int32], num_requests: int) -> Columns:
    """`blis._core.state.BlockPool`."""
    instances = control.options.num_instances
    usable = engine.total_kv_blocks - 1  # vLLM keeps block 0 as a dummy
    at = np.zeros((instances, core.POOL_SCALARS), np.int64)
    at[:, [core.FREE, core.FRONT, core.LEAST_FREE]] = usable
    at[:, core.SPARE_NODE] = NONE
    at[:, core.EPOCH] = 1
    places = min(usable, len(parent)) + 1  # of contents, and the sentinel
    most = places + usable  # each node holds a block at least; all of them may have to be extra nodes
    large = np.empty if len(parent) else functools.partial(sparse, zeros=False)  # only shared blocks have a node each
    nodes = large((instances, most, core.NODE_COLUMNS), np.int32)
    nodes[:, core.SENTINEL] = core.SENTINEL
    place_taken = np.zeros((instances, places), np.int8)
    place_taken[:, core.SENTINEL] = 1
    keeps_changes = "cached_blocks" in control.reads and control.options.kv_refresh_us > 0
    return {
        "at": at,
        "nodes": nodes,
        "rings": large((instances, most, core.RING_COLUMNS if len(parent) else 1 + core.OWNER), np.int32),
        "place_taken": place_taken,
        "parent": parent,
        "copies": np.zeros((instances, 1 << min(len(parent), 4 * places).bit_length()), np.int32),
        "changed": np.zeros((instances, len(parent) if keeps_changes else 0), np.int32),
        "extent": np.full(num_requests, NONE, np.int32),
        "extent_keyed": np.empty(num_requests, np.int32),
    }


def batch_columns(engine: EngineConfig, requests: Columns, instances: int, num_classes: int) -> Columns:
    """`blis._core.state.Batch`."""
    slots = num_slots(engine, len(requests["status"]))
    takes_part = requests["status"] == RequestStatus.NOT_ARRIVED
    longest = int(requests["output_tokens"][takes_part].max(initial=1))
    prealloc_blocks = -(-engine.preallocated_tokens // engine.block_size_tokens)
    sizes = {
        **{"at": core.BATCH_SCALARS, "class_count": num_classes},
        "phase_count": engine.block_size_tokens * (1 + prealloc_blocks),
        **dict.fromkeys(_PER_SLOT, slots),
    }
    columns = _side_by_side(instances, sizes)
    columns["at"][:, [core.FIRST, core.LAST]] = NONE
    columns["free_slots"][:] = np.arange(slots - 1, -1, -1)
    days = 1 << longest.bit_length()  # longer than any decode
    columns["calendar"] = np.full((instances, days + _LINE), NONE, np.int32)[:, :days]
    columns["shared_nodes"] = np.empty((instances, slots, requests["num_shared"].max(initial=0)), np.int32)
    return {name: columns[name] for name in core.Batch.__annotations__}


def _side_by_side(instances: int, sizes: Mapping[str, int]) -> Columns:
    """Arrays of zeros, those of one instance next to each other: what a step touches lies on few pages."""
    block = np.zeros((instances, sum(sizes.values()) + _LINE), np.int64)
    ends = itertools.accumulate(sizes.values())
    return {name: block[:, end - sizes[name] : end] for name, end in zip(sizes, ends, strict=True)}


def recorder_columns(
    engine: EngineConfig, instances: int, num_requests: int, num_classes: int, *, logging: bool
) -> Columns:
    """`blis._core.state.Recorder`."""
    slots = num_slots(engine, num_requests)
    log_rows = 3 * slots + 5 + (LOG_ROWS if logging else 0)
    return {
        "at": np.zeros((instances, core.RECORDER_SCALARS), np.int64),
        "histogram": sparse((instances, num_classes, HISTOGRAM_US), np.int64, zeros=True),
        "gap_log": np.empty((instances, slots + 1 + GAP_ROWS, 3), np.int64),
        "step_log": np.empty((instances, log_rows, 4), np.int64),
    }
