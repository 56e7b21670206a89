"""The engine's arrays for plans in flight; what `blis.simulation.packing` is for all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis._core import flight_state as core
from blis._core import state
from blis._core.codes import NEVER, NONE
from blis.config.schema import EngineConfig
from blis.simulation.packing import Columns, Unused, num_slots
from blis.workload.requests import Ints, RequestTable

_PER_SLOT = ("since", "gone", "leaves", "owed", "unkeyed")


def flight_columns(table: RequestTable, engine: EngineConfig, requests: Columns, shape: tuple[int, int]) -> Columns:
    """`blis._core.flight_state.Flights`.

    Args:
        table: what arrives.
        engine: says how many plans may be in flight.
        requests: `blis._core.state.Requests`.
        shape: instances, and rows of the recorder's histogram.
    """
    if not engine.runs_loop:
        return _NO_FLIGHTS
    (instances, num_classes), n = shape, len(table)
    places, slots = 1 << int(engine.async_scheduling).bit_length(), num_slots(engine, n)
    plans = np.zeros((instances, places, core.PLAN_COLUMNS), np.int64)
    plans[:, :, core.PLAN_STEP] = NONE
    per_slot = np.zeros((len(_PER_SLOT), instances, slots), np.int64)
    return {
        "at": np.zeros((instances, core.FLIGHT_SCALARS), np.int64),
        "plans": plans,
        "class_count": np.zeros((instances, places, num_classes), np.int64),
        "samplers": np.empty((instances, places, slots, core.ROW_COLUMNS), np.int64),
        "leavers": np.empty((instances, places, slots, core.ROW_COLUMNS), np.int64),
        **dict(zip(_PER_SLOT, per_slot, strict=True)),
        "foreseen": foreseen_ends(table, engine, requests["output_tokens"]),
        "started_us": np.full(n, NEVER, np.int64),
    }


_NOTHING = np.empty(0, np.int64)
_NO_FLIGHTS = Unused(
    at=_NOTHING,
    plans=_NOTHING.reshape(0, 0),
    class_count=_NOTHING.reshape(0, 0),
    samplers=_NOTHING.reshape(0, 0, 0),
    leavers=_NOTHING.reshape(0, 0, 0),
    **dict.fromkeys(_PER_SLOT, _NOTHING),
    foreseen=np.empty(0, np.int8),
    started_us=_NOTHING,
)


def foreseen_ends(table: RequestTable, engine: EngineConfig, output_tokens: Ints) -> NDArray[np.int8]:
    """Whose end is known beforehand: by its own cap, or by the context's; a stop token is not."""
    foreseen = np.ones(len(table), np.bool_)
    if table.max_tokens is not None:
        foreseen = table.max_tokens <= output_tokens
    if engine.max_model_len is not None:
        foreseen |= table.input_tokens + output_tokens >= engine.max_model_len
    foreseen |= output_tokens == 0
    return foreseen.astype(np.int8)


def known_tokens(flights: Columns, batch: Columns, totals: Ints, i: int, in_flight: int) -> Ints:
    """Prompt and output tokens per slot that have come, of what is planned.

    Args:
        flights: what `flight_columns` has made.
        batch: `blis._core.state.Batch` of all instances.
        totals: (n,) prompt and output tokens that each request will have.
        i: which instance.
        in_flight: plans in flight there.
    """
    decodes = batch["is_decoder"][i] != 0
    computed = batch["computed"][i] + np.where(decodes, batch["at"][i, state.STEPS], 0)
    planned: Ints = np.where(decodes, computed + 1, batch["known"][i])
    ends = ~decodes & (planned == computed)  # its last token is planned, and nothing behind it
    planned = np.minimum(planned + ends, totals[batch["request"][i]])
    for k in range(in_flight):
        place = (flights["at"][i, core.OLDEST] + k) % flights["plans"].shape[1]
        planned -= _gets_token(flights, batch["admission"][i], i, place)
    return planned


def _gets_token(flights: Columns, admission: Ints, i: int, place: int) -> NDArray[np.bool_]:
    """Which slots get a token by the plan in a place."""
    plan = flights["plans"][i, place]
    step = plan[core.PLAN_STEP]
    gets: NDArray[np.bool_] = (step != NONE) & (flights["since"][i] <= step) & (step < flights["gone"][i])
    rows = flights["samplers"][i, place, : plan[core.PLAN_SAMPLERS]]
    gets[rows[:, core.WHERE]] |= admission[rows[:, core.WHERE]] == rows[:, core.WHEN]
    return gets


def steps_in_flight(flights: Columns, in_flight: Ints) -> Ints:
    """Steps with tokens whose results are not known, of each instance with so many plans in flight."""
    places = flights["plans"].shape[1]
    behind = (np.arange(places) - flights["at"][:, [core.OLDEST]]) % places
    has_tokens = flights["plans"][:, :, core.PLAN_STEP] != NONE
    count: Ints = np.count_nonzero(has_tokens & (behind < in_flight[:, None]), axis=1)
    return count
