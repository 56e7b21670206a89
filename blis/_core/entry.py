"""The doors into the compiled engine.

Reading guide: `state` (what there is), `cluster.run_cluster` (the loop), `router` (decisions about requests),
`instance.advance` (steps), `running` and `admission` (who is served in a step), `block_pool` (the KV cache).
Everything they call is compiled into `run` and cached with it.

All arguments are arrays, addresses of functions, numbers and tuples of these in the order of the structs in `state`.
All state is in the arrays: calling `run` again goes on.
"""

from __future__ import annotations

from blis._core.cluster import run_cluster
from blis._core.functions import decision_at, priority_at, step_time_at
from blis._core.handles import data_of, pin, unpin
from blis._core.jit import compiled_entry
from blis._core.state import (
    Batch,
    BlockPool,
    ClosedLoop,
    Cluster,
    DecisionLog,
    EventQueue,
    Instance,
    Limits,
    PrefixTable,
    Recorder,
    Requests,
    Snapshots,
    View,
    WaitingQueue,
)


def _bind_open_instance(source_digest):
    def open_instance(limits, requests, view, at, load, queue, pool, batch, recorder):
        source_digest  # noqa: B018  part of the cache key, see compiled_entry
        instance = Instance(
            at,
            load,
            Limits(*limits),
            Requests(*requests),
            View(*view),
            WaitingQueue(*queue),
            BlockPool(*pool),
            Batch(*batch),
            Recorder(*recorder),
        )
        return pin(instance), data_of(instance)

    return open_instance


def _bind_close_instance(source_digest):
    def close_instance(handle):
        source_digest  # noqa: B018
        unpin(handle)

    return close_instance


def _bind_run(source_digest):
    def run(limits, requests, view, snapshots, table, decision_log, loop, arrivals, visible, cluster, laws, most):
        source_digest  # noqa: B018
        everything = Cluster(
            *cluster,
            Limits(*limits),
            Requests(*requests),
            View(*view),
            Snapshots(*snapshots),
            PrefixTable(*table),
            DecisionLog(*decision_log),
            ClosedLoop(*loop, EventQueue(*arrivals), EventQueue(*visible)),
        )
        parameters, step_time, priority_state, priority, admission_state, admission, routing_state, routing = laws
        pointers = (
            view[0].ctypes,
            view[2].ctypes,
            step_time_at(step_time),
            parameters.ctypes,
            priority_at(priority),
            priority_state.ctypes,
            decision_at(admission),
            admission_state.ctypes,
            decision_at(routing),
            routing_state.ctypes,
        )
        return run_cluster(everything, pointers, most)

    return run


#: ``open_instance(limits, requests, view, at, load, queue, pool, batch, recorder) -> (int, int)``: make an instance
#: of its arrays. The first number closes it, by the second the cluster knows it.
open_instance = compiled_entry(_bind_open_instance)
#: ``close_instance(handle)``: let go of an instance and its arrays.
close_instance = compiled_entry(_bind_close_instance)
#: ``run(limits, requests, view, snapshots, table, decision_log, loop, arrivals, visible, cluster, laws, most)``: let at
#: most so much happen (``most`` steps and events); a `blis._core.codes.StopReason`.
run = compiled_entry(_bind_run)
