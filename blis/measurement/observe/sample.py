"""What became of one request."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from blis.workload.requests import Ints
from blis.workload.traces.tracev2.records import OK

_NO_CHUNKS = np.empty(0, dtype=np.int64)


@dataclass(slots=True, eq=False)
class Sample:
    """One request and what was measured of it. Times are µs since 1970, 0 where something never happened.

    Attributes:
        row: of the request in its table.
        intended_us: when it was to be sent.
        send_us: when it was.
        slot_wait_us: how long it waited because too many others were in flight.
        chunk_us: (k,) when each piece with tokens came.
        status: code of `blis.workload.traces.tracev2.records.STATUSES`.
        error: what went wrong, in one line; empty: nothing.
        input_tokens: as the server counts them; None: it did not say.
        output_tokens: likewise.
        num_unreadable: pieces that were no JSON.
    """

    row: int
    intended_us: int
    send_us: int = 0
    slot_wait_us: int = 0
    chunk_us: Ints = field(default_factory=lambda: _NO_CHUNKS)
    status: int = OK
    error: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    num_unreadable: int = 0

    @property
    def first_chunk_us(self) -> int:
        """When the first tokens came."""
        return int(self.chunk_us[0]) if len(self.chunk_us) else 0

    @property
    def last_chunk_us(self) -> int:
        """When the last ones came."""
        return int(self.chunk_us[-1]) if len(self.chunk_us) else 0
