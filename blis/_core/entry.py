"""The one door into the compiled engine.

Reading guide: `state` (what there is), `instance.advance` (the loop), `running` and `admission` (the decisions),
`block_pool` (the KV cache). Everything they call is compiled into this entry and cached with it.
"""

from __future__ import annotations

from blis._core.instance import advance
from blis._core.jit import compiled_entry
from blis._core.state import Batch, BlockPool, Instance, Limits, Recorder, Requests, WaitingQueue


def _bind(source_digest):
    def run(limits, requests, queue, pool, batch, recorder, at, load, law, parameters, max_steps):
        source_digest  # noqa: B018  part of the cache key, see compiled_entry
        instance = Instance(
            at,
            load,
            Limits(*limits),
            Requests(*requests),
            WaitingQueue(*queue),
            BlockPool(*pool),
            Batch(*batch),
            Recorder(*recorder),
        )
        return advance(instance, law, parameters.ctypes, max_steps)

    return run


#: ``run(limits, requests, queue, pool, batch, recorder, at, load, law, parameters, max_steps) -> StopReason``:
#: advance the simulation by at most ``max_steps`` steps. All state is in the arrays: calling it again goes on.
run = compiled_entry(_bind)
