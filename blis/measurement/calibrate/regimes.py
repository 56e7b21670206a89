"""How many requests the server had in hand, and errors apart for times of low, medium and high load."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from blis.workload.requests import Ints
from blis.workload.traces.tracev2.records import TraceRecords

Bools = NDArray[np.bool_]

LEVELS = ("low", "medium", "high")


def in_flight_when_sent(records: TraceRecords) -> Ints:
    """(n,) requests sent before each one and not over by then, as measured.

    Requests of the warm-up and failed ones count, too, but not those whose end is unknown.
    """
    lasts = records.last_chunk_us > records.send_us
    starts = np.sort(records.send_us[lasts])
    ends = np.sort(records.last_chunk_us[lasts])
    before = np.searchsorted(starts, records.send_us, side="left")
    over = np.searchsorted(ends, records.send_us, side="right")
    load: Ints = before - over
    return load


def load_regimes(in_flight: Ints) -> Iterator[tuple[str, Bools]]:
    """Split requests into thirds by the load they met.

    The bounds are the load's terciles, so that each level has about a third of the requests whatever the load was.
    Equal loads stay together; levels that are left without requests are not there.

    Args:
        in_flight: (k,) of the requests.

    Yields:
        Level, and (k,) which requests belong to it.
    """
    if not len(in_flight):
        return
    bounds = np.quantile(in_flight, (1 / 3, 2 / 3), method="inverted_cdf")
    level = np.searchsorted(bounds, in_flight, side="left")
    for number, name in enumerate(LEVELS):
        if (level == number).any():
            yield name, level == number
