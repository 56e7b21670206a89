"""The state of instances that plan ahead (`blis._core.ahead`): what is kept of plans until they are settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blis._core.layout import struct

if TYPE_CHECKING:
    from numba import int8, int64

# --- at[] of Flights --------------------------------------------------------------------------------------
OLDEST = 0  # place of the oldest plan in flight; the others are in the places behind it, around the ring
SETTLES = 1  # 1: what the instance does next is to settle the oldest, 0: it plans
GPU_FREE = 2  # when the GPU is done with all that was planned
LAST_SEEN = 3  # when a result with tokens was last settled
NOTICE = 4  # 1: requests are over of which no plan has told the workers
VOID = 5  # plans one behind the other that did nothing
PASSED = 6  # running requests that the pass over them has lost from its sight
FLIGHT_SCALARS = 7

# --- columns of Flights.plans -----------------------------------------------------------------------------
PLAN_STEP = 0  # its number among those with tokens; NONE: it has none
PLAN_END = 1  # when its result is there
PLAN_WAITING = 2  # waiting requests after it
PLAN_DECODERS = 3  # decoders that get a token
PLAN_SAMPLERS = 4  # rows of samplers in use
PLAN_LEAVERS = 5  # rows of leavers in use
PLAN_LOGGED = 6  # 1: it is in the step log
PLAN_COLUMNS = 7

# --- columns of Flights.samplers and Flights.leavers ------------------------------------------------------
WHO = 0  # request
WHERE = 1  # its slot when it was planned
WHEN = 2  # its admission number
ROW_COLUMNS = 3


@struct
class Flights:
    """Plans in flight, in a ring of places, a power of two, and what is in flight of each running request.

    To a plan those before it are done: a request that samples knows one token more at once, which is *owed* to it until
    the plan is settled. So `Batch.computed` counts what is planned and `Batch.known` what is owed, too.
    """

    at: int64[::1]
    plans: int64[:, ::1]  # per place
    class_count: int64[:, ::1]  # per place and row of the recorder's histogram: decoders that get a token
    samplers: int64[:, :, ::1]  # per place: others that get a token
    leavers: int64[:, :, ::1]  # per place: those whose last token it is, in running order
    since: int64[::1]  # per slot: first step in which it was a decoder ...
    gone: int64[::1]  # ... and the first in which it was none any more
    leaves: int64[::1]  # per slot: 1: its last token is in flight, it is neither decoder nor explicit
    owed: int64[::1]  # per explicit slot: tokens that it knows only by plans in flight
    unkeyed: int64[::1]  # per explicit slot: computed tokens whose blocks no plan has published yet
    foreseen: int8[::1]  # per request: 1: its end is known beforehand, 0: a stop token ends it
    started_us: int64[::1]  # per request: when the GPU began with the first of it
