"""The engine's arrays, allocated and filled in the order of the structs in `blis._core.state`.

Arrays that each instance has for itself are stacked along a first axis; `SHARED` names those that it has not. Large
ones are left to the operating system to fill: only what is touched takes memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core import state as core
from blis._core.codes import NEVER, NONE, VIEW_HEADER, RequestStatus, StepLog, ViewColumn, ViewNumber, ViewWord
from blis.config.schema import ClusterOptions, EngineConfig
from blis.errors import WorkloadError
from blis.latency.law import LatencyModel
from blis.policies.policy import Policy
from blis.policies.scheduling import request_priority, waiting_order
from blis.simulation.chains import Chains
from blis.simulation.control import Control
from blis.simulation.sparse import sparse
from blis.workload.content import SharedBlocks
from blis.workload.requests import Ints, RequestTable

Columns = dict[str, Any]


class Unused(Columns):
    """Arrays of a struct that the engine does not look into: the same object for all runs."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


#: Arrays of the waiting queue and the block pool that all instances share.
SHARED = frozenset(("behind", "rank", "by_rank", "victim_rank", "parent", "extent", "extent_keyed"))
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
PREFIX_SIGNALS = frozenset(("prefix_blocks", "cached_blocks"))
#: Arrays of the batch with a number per slot.
_PER_SLOT = (
    *("free_slots", "scratch", "request", "admission", "next", "prev", "is_decoder", "computed", "known", "held"),
    *("shared", "scheduled", "explicit", "phase", "cap_step", "last_step", "event", "due"),
    *("calendar_next", "calendar_prev"),
)
#: What requests begin with: nothing has happened to them.
_STAMPS = ("first_scheduled_us", "first_token_us", "last_token_us")
_COUNTS = ("produced_tokens", "cached_tokens", "num_preemptions")
_KV_SIGNALS = frozenset(("free_kv_blocks", "kv_utilization", "cache_hit_rate"))
#: Numbers that the decision log holds at a time.
DECISION_NUMBERS = 2**21


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
    if table.is_closed_loop:
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
    places = usable + 1  # each node but the sentinel holds a block; all of them may have to be extra nodes
    large = np.empty if len(parent) else sparse  # only shared blocks have a node each
    nodes = large((instances, 2 * places, core.NODE_COLUMNS), np.int32)
    nodes[:, core.SENTINEL] = core.SENTINEL
    place_taken = np.zeros((instances, places), np.int8)
    place_taken[:, core.SENTINEL] = 1
    keeps_changes = "cached_blocks" in control.reads and control.options.kv_refresh_us > 0
    return {
        "at": at,
        "nodes": nodes,
        "rings": large((instances, 2 * places, core.RING_COLUMNS if len(parent) else 1 + core.OWNER), np.int32),
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
        "histogram": sparse((instances, num_classes, HISTOGRAM_US), np.int64),
        "gap_log": np.empty((instances, slots + 1 + GAP_ROWS, 3), np.int64),
        "step_log": np.empty((instances, log_rows, 4), np.int64),
    }


def view_columns(
    table: RequestTable, engine: EngineConfig, control: Control, state_lengths: tuple[int, ...], *, tracing: bool
) -> Columns:
    """`blis._core.state.View`. Nothing is known of the instances but that they are empty."""
    instances, live = control.options.num_instances, control.options.kv_refresh_us == 0
    words = np.zeros(VIEW_HEADER + len(ViewColumn) * instances, np.int64)
    words[ViewWord.NUM_INSTANCES] = instances
    words[ViewWord.BLOCK_SIZE] = engine.block_size_tokens
    words[[ViewWord.SLO_CLASS, ViewWord.TENANT]] = NONE
    columns = words[VIEW_HEADER:].reshape(len(ViewColumn), instances)
    columns[ViewColumn.FREE_KV_BLOCKS] = engine.total_kv_blocks - 1 if live else 0
    return {
        "words": words,
        "columns": columns,
        "numbers": np.zeros((len(ViewNumber), instances)),
        "request_words": _request_words(table),
        "state_lengths": np.array(state_lengths, np.int64),
        "shows_kv": int(tracing or not control.reads.isdisjoint(_KV_SIGNALS)),
        "shows_blocks": int(control.is_custom or not control.reads.isdisjoint(PREFIX_SIGNALS)),
    }


def _request_words(table: RequestTable) -> Ints:
    """(n, 3) priority, class and tenant of each request; no rows where no request has any."""
    labels = (table.slo_class, table.tenant)
    if table.priority is None and labels == (None, None):
        return np.empty((0, 3), np.int64)
    words = np.empty((len(table), 3), np.int64)
    words[:, 0] = request_priority(table)
    for i, label in enumerate(labels, start=1):
        words[:, i] = NONE if label is None else label.codes
    return words


def snapshot_columns(engine: EngineConfig, options: ClusterOptions) -> Columns:
    """`blis._core.state.Snapshots`."""
    if options.queue_depth_refresh_us == options.batch_size_refresh_us == options.kv_refresh_us == 0:
        return _NO_SNAPSHOTS
    columns = np.zeros((len(ViewColumn), options.num_instances), np.int64)
    columns[ViewColumn.FREE_KV_BLOCKS] = engine.total_kv_blocks - 1
    interval_us = [options.queue_depth_refresh_us, options.batch_size_refresh_us, options.kv_refresh_us]
    return {
        "interval_us": np.array(interval_us, np.int64),
        "last_us": np.zeros(core.NUM_GROUPS, np.int64),
        "columns": columns,
        "numbers": np.zeros((len(ViewNumber), options.num_instances)),
    }


_NO_SNAPSHOTS = Unused(
    interval_us=np.zeros(core.NUM_GROUPS, np.int64),
    last_us=np.zeros(core.NUM_GROUPS, np.int64),
    columns=np.zeros((len(ViewColumn), 0), np.int64),
    numbers=np.zeros((len(ViewNumber), 0)),
)


def table_columns(
    options: ClusterOptions, chains: Chains, num_contents: int, num_requests: int, *, used: bool
) -> Columns:
    """`blis._core.state.PrefixTable`."""
    if not used:
        return _NO_TABLE
    # a slot holds a block at least; a new segment comes before the oldest go
    slots = min(options.prefix_table_entries, num_contents + num_requests) + 4
    ring = np.empty((slots, 7), np.int32)
    ring[core.SENTINEL] = core.SENTINEL
    at = np.zeros(core.TABLE_SCALARS, np.int64)
    at[core.SPARE_SLOT], at[core.SLOTS] = NONE, 1
    return {
        "at": at,
        "first": chains.first,
        "before": chains.before,
        "lowest": np.zeros(len(chains.first), np.int32),
        "slots": ring,
        "most_entries": options.prefix_table_entries,
    }


_NO_TABLE = Unused(
    at=np.zeros(core.TABLE_SCALARS, np.int64),
    first=np.zeros(0, np.int32),
    before=np.zeros(0, np.int32),
    lowest=np.zeros(0, np.int32),
    slots=np.zeros((1, 7), np.int32),
    most_entries=0,
)


def decision_columns(instances: int, *, tracing: bool) -> Columns:
    """`blis._core.state.DecisionLog`."""
    per_row = len(ViewColumn) + len(ViewNumber)
    return _log_of(max(1, DECISION_NUMBERS // (per_row * instances)), instances) if tracing else _NO_DECISIONS


def _log_of(rows: int, instances: int) -> Columns:
    return {
        "at": np.zeros(core.DECISION_SCALARS, np.int64),
        "decisions": np.empty((rows, 4), np.int64),
        "columns": np.empty((rows, len(ViewColumn), instances), np.int64),
        "numbers": np.empty((rows, len(ViewNumber), instances)),
    }


_NO_DECISIONS = Unused(_log_of(0, 0))


def prompt_blocks(
    table: RequestTable, blocks: SharedBlocks, block_size: int, *, used: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Of each prompt the identity of its last full block that others have too, and how many there are up to it."""
    if not used:
        return np.full(len(table), NONE, np.int32), np.zeros(len(table), np.int32)
    depth = np.minimum(blocks.num_shared, table.input_tokens // block_size).astype(np.int32)
    leaf = blocks.leaf.copy()
    surplus = blocks.num_shared - depth
    while True:
        rows = np.flatnonzero(surplus)
        if not len(rows):
            return leaf, depth
        leaf[rows] = blocks.parent[leaf[rows]]
        surplus[rows] -= 1


def cluster_columns(
    control: Control,
    requests: Columns,
    blocks: SharedBlocks,
    prompt: tuple[NDArray[np.int32], NDArray[np.int32]],
    chains: Chains,
    horizon_us: int,
    forced: tuple[int, int],
    *,
    tracing: bool,
) -> Columns:
    """`blis._core.state.Cluster`, up to what other functions here make."""
    options, instances = control.options, control.options.num_instances
    arrival_us, visible_us = requests["arrival_us"], requests["visible_us"]
    takes_part = (requests["status"] == RequestStatus.NOT_ARRIVED) & (arrival_us != NEVER) & (arrival_us <= horizon_us)
    by_arrival = np.argsort(arrival_us, kind="stable")
    by_arrival = by_arrival[takes_part[by_arrival]]
    by_visible = np.argsort(visible_us, kind="stable")
    by_visible = by_visible[(takes_part & (visible_us <= horizon_us))[by_visible]]
    admission_us = arrival_us[by_arrival] + options.admission_latency_us
    # any decision may be the one at which a snapshot gets too old
    takes_snapshots = max(options.queue_depth_refresh_us, options.batch_size_refresh_us, options.kv_refresh_us) > 0
    everybody_looks = tracing or (takes_snapshots and bool(control.reads))
    asks_nobody = control.admission.name == "always-admit" and not everybody_looks
    return {
        "at": np.zeros(core.CLUSTER_SCALARS, np.int64),
        "instances": np.empty(instances, np.int64),
        "wake_us": np.full(instances, core.FAR_FUTURE),
        "by_arrival": by_arrival,
        "by_visible": by_visible,
        "target": np.full(len(arrival_us), NONE, np.int32),
        "forced": np.array(forced, np.int64),
        "parent": blocks.parent,
        "prompt_leaf": prompt[0],
        "prompt_shared": prompt[1],
        "prompt_chain": chains.of(prompt[0]),
        "chain": np.empty(prompt[1].max(initial=0) + 1, np.int64),
        "num_admissions": 0 if asks_nobody else int(np.searchsorted(admission_us, horizon_us, side="right")),
        "num_routings": int(np.searchsorted(admission_us + options.routing_latency_us, horizon_us, side="right")),
        "admission_latency_us": options.admission_latency_us,
        "routing_latency_us": options.routing_latency_us,
        "admission_looks": _looks(control.admission, everybody_looks),
        "routing_looks": _looks(control.routing, everybody_looks),
        "uses_prefix_table": int("prefix_blocks" in control.reads),
        "tracing": int(tracing),
    }


def _looks(policy: Policy, everybody_looks: bool) -> int:
    """What a policy looks at, as bits."""
    looks = core.LOOKS if policy.reads or everybody_looks else 0
    looks |= core.LOOKS_UP_PREFIXES if "prefix_blocks" in policy.reads else 0
    return looks | (core.LOOKS_INTO_CACHES if "cached_blocks" in policy.reads else 0)
