"""The engine's arrays for what decides about requests: policies, what they see, and the cluster they decide for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis._core import state as core
from blis._core.codes import NEVER, NONE, VIEW_HEADER, RequestStatus, ViewColumn, ViewNumber, ViewWord
from blis.config.schema import ClusterOptions, EngineConfig
from blis.policies.policy import Policy
from blis.policies.scheduling import request_priority
from blis.simulation.chains import Chains
from blis.simulation.control import Control
from blis.simulation.packing import Columns, Unused
from blis.workload.content import SharedBlocks
from blis.workload.requests import Ints, RequestTable

PREFIX_SIGNALS = frozenset(("prefix_blocks", "cached_blocks"))
_KV_SIGNALS = frozenset(("free_kv_blocks", "kv_utilization", "cache_hit_rate"))
#: Numbers that the decision log holds at a time.
DECISION_NUMBERS = 2**21


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
