"""What was measured of the requests that a simulation is going to serve."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.api import Simulation
from blis.errors import InputError
from blis.workload.content import SharedBlocks, shared_blocks
from blis.workload.requests import Ints, RequestTable
from blis.workload.traces.tracev2.header import TraceHeader
from blis.workload.traces.tracev2.records import TraceRecords

_US_PER_MS = 1000


@dataclass(frozen=True, eq=False)
class Measured:
    """One measured trace, and the deployment that is taken to have served it.

    Attributes:
        simulation: what serves its requests in a simulation.
        table: the requests, each arriving when it was really sent.
        blocks: the KV blocks they share.
        sent_us: (n,) when each was sent.
        ttft_us: (n,) from then to the first token, without the network's round trip.
        e2e_us: (n,) likewise to the last token; the same if the tokens were not seen as they came.
        rows: (m,) of the requests that count, by the time they were sent: not those of a warm-up.
    """

    simulation: Simulation
    table: RequestTable
    blocks: SharedBlocks
    sent_us: Ints
    ttft_us: Ints
    e2e_us: Ints
    rows: Ints

    @property
    def decode_us(self) -> Ints:
        """(n,) from the first token to the last; 0 if the tokens were not seen as they came."""
        return self.e2e_us - self.ttft_us

    @property
    def tpot_us(self) -> NDArray[np.float64]:
        """(n,) mean time between tokens; nan where there is none."""
        gaps = self.table.output_tokens - 1
        known = (self.decode_us > 0) & (gaps >= 1)
        return np.where(known, self.decode_us / np.where(known, gaps, 1), np.nan)


def measured_trace(simulation: Simulation, header: TraceHeader, records: TraceRecords) -> Measured:
    """Put a simulation of a trace's replay beside what the trace says was measured.

    Args:
        simulation: made of the same trace; one instance.
        header: of the trace.
        records: of the trace, those of failed requests included.

    Raises:
        InputError: nothing was measured, or the simulation has several instances.
    """
    if simulation.control.options.num_instances > 1:
        raise InputError("num_instances: coefficients are found for one instance that served all requests; valid: 1")
    order = np.argsort(records.request_id)
    of_row = order[np.searchsorted(records.request_id[order], simulation.table.numbers)]
    sent, first, last = (getattr(records, name)[of_row] for name in ("send_us", "first_chunk_us", "last_chunk_us"))
    if not (last > sent).any():
        raise InputError("trace: says of no request when it was sent and when it ended; nothing was measured")
    rtt_us = round((header.measured_rtt_ms or 0.0) * _US_PER_MS)
    table = dataclasses.replace(simulation.table, arrival_us=sent - sent.min())
    usable = (last > sent) & (first > sent) & (records.request_id[of_row] >= header.warm_up_requests)
    rows = np.flatnonzero(usable)
    return Measured(
        simulation=simulation,
        table=table,
        blocks=shared_blocks(
            table, simulation.resolved.engine.block_size_tokens, simulation.resolved.engine.enable_prefix_caching
        ),
        sent_us=table.arrival_us,
        ttft_us=first - sent - rtt_us,
        e2e_us=last - sent - rtt_us,
        rows=rows[np.argsort(sent[rows], kind="stable")],
    )
