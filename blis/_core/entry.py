"""The door into the compiled engine.

Reading guide: `state` (what there is), `cluster.run_cluster` (the loop), `router` (decisions about requests),
`instance.advance` or `ahead.advance_ahead` (steps), `running` and `admission` (who is served in a step), `block_pool`
(the KV cache). What they call is compiled into `run` or `run_ahead` and kept with it.

All state is in the arrays of the structs: calling `run` again goes on.
"""

from __future__ import annotations

from blis._core.cluster import run_cluster
from blis._core.handles import cluster_at, words_at


def run(cluster, laws, most):
    """Let at most so much happen.

    Args:
        cluster: address of a `blis._core.state.Cluster`.
        laws: address of ten words, addresses of functions and of what they are given, by `blis._core.state`.
        most: steps and events.

    Returns:
        a `blis._core.codes.StopReason`.
    """
    return run_cluster(cluster_at(cluster), words_at(laws), most, None)


def run_ahead(cluster, laws, most):
    """`run` for instances that plan ahead: `blis._core.ahead`."""
    return run_cluster(cluster_at(cluster), words_at(laws), most, True)
