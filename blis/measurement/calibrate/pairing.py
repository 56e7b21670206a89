"""Which measured request belongs to which simulated one, and what both took as a client sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.outcomes.metrics.network import transfer_us
from blis.outcomes.outcomes import Outcomes
from blis.workload.requests import Ints
from blis.workload.traces.tracev2.header import TraceHeader
from blis.workload.traces.tracev2.records import OK, TraceRecords

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Network:
    """What lies between client and server; the simulator's durations know nothing of it.

    Attributes:
        rtt_us: round-trip time.
        bandwidth_mbps: of the client's connection, megabits per second; 0: unlimited.
    """

    rtt_us: float = 0.0
    bandwidth_mbps: float = 0.0


@dataclass(frozen=True, eq=False)
class Side:
    """What k requests took and produced, measured or simulated.

    Attributes:
        start_us: (k,) when they were sent, each side on its own clock.
        ttft_us: (k,) time to first token.
        e2e_us: (k,) time to the last token.
        output_tokens: (k,) produced.
    """

    start_us: Ints
    ttft_us: Floats
    e2e_us: Floats
    output_tokens: Ints

    @property
    def span_us(self) -> float:
        """From the first request's start to the last token of all; k must not be 0."""
        return float((self.start_us + self.e2e_us).max() - self.start_us.min())


@dataclass(frozen=True)
class PairCounts:
    """How many requests went which way.

    Attributes:
        num_requests: in the trace.
        warm_up_excluded: numbered below the warm-up.
        matched_pairs: of the others, those that the simulation has a result for.
        unmatched_real: those that it has none for, and matched ones without a valid duration.
        unmatched_sim: results of the simulation that were not matched; those of the warm-up are among them.
        token_mismatches: matched ones whose input or output tokens differ.
        failed: behind the warm-up, those that the server did not answer well.
        unserved_sim: requests of the simulation without a result: not finished, rejected or refused.
        judged: requests behind the warm-up that were answered well.
        judged_unmatched: those of them that the simulation has no result for.
    """

    num_requests: int
    warm_up_excluded: int
    matched_pairs: int
    unmatched_real: int
    unmatched_sim: int
    token_mismatches: int
    failed: int
    unserved_sim: int
    judged: int
    judged_unmatched: int


@dataclass(frozen=True, eq=False)
class Pairs:
    """The k requests that can be compared, in the order of the trace.

    Attributes:
        rows: (k,) their rows in the trace.
        measured: by the client.
        simulated: by the simulator, network added.
        has_tpot: (k,) whether both sides tell the time between tokens.
        counts: of these and of all others.
    """

    rows: Ints
    measured: Side
    simulated: Side
    has_tpot: Bools
    counts: PairCounts

    def __len__(self) -> int:
        return len(self.rows)

    def durations_us(self, metric: str, chosen: Bools | slice = slice(None)) -> tuple[Floats, Floats]:
        """Measured and simulated durations.

        Args:
            metric: ``ttft``, ``e2e`` or ``tpot``.
            chosen: (k,) which pairs; of these, for ``tpot``, those that have one.
        """
        if metric != "tpot":
            return getattr(self.measured, f"{metric}_us")[chosen], getattr(self.simulated, f"{metric}_us")[chosen]
        at = np.arange(len(self))[chosen]
        at = at[self.has_tpot[at]]
        return _tpot_us(self.measured, at), _tpot_us(self.simulated, at)


def pair(
    header: TraceHeader, records: TraceRecords, outcomes: Outcomes, *, warm_up_requests: int, network: Network
) -> Pairs:
    """Find for each measured request what was simulated under the same number.

    A request of the trace counts like this, in this order: numbered below the warm-up, it is excluded; without a
    simulated result it is unmatched; else it is matched, and counted if its tokens differ; with a stamp of its first
    or last token that is missing or lies before it was sent, it is unmatched, too, and not compared. What became of
    it (``status``) is not looked at.

    Args:
        header: of the trace.
        records: of the trace.
        outcomes: of the simulation; request ``request_N`` belongs to the trace's ``request_id`` N.
        warm_up_requests: requests with numbers below are not compared.
        network: is added to the simulated side.
    """
    behind = records.request_id >= warm_up_requests
    ttft_us, e2e_us = outcomes.ttft_us(), outcomes.e2e_us()
    has_result = (ttft_us >= 0) & (e2e_us >= 0)
    sim_row = _rows_by_number(outcomes.table.numbers, has_result, records.request_id)
    matched = behind & (sim_row >= 0)
    sent, first, last = records.send_us, records.first_chunk_us, records.last_chunk_us
    compared = matched & (first > 0) & (first >= sent) & (last > 0) & (last >= sent)

    produced = measured_output_tokens(header, records)
    own, theirs = np.flatnonzero(matched), sim_row[matched]
    differ = (records.input_tokens[own] != outcomes.table.input_tokens[theirs]) | (
        produced[own] != outcomes.result.produced_tokens[theirs]
    )
    ok = behind & (records.status == OK)
    rows = np.flatnonzero(compared)
    sim_rows = sim_row[rows]
    counts = PairCounts(
        num_requests=len(records),
        warm_up_excluded=_count(~behind),
        matched_pairs=_count(matched),
        unmatched_real=_count(behind & ~compared),
        unmatched_sim=_count(has_result) - _count(matched),
        token_mismatches=_count(differ),
        failed=_count(behind & ~ok),
        unserved_sim=_count(~has_result),
        judged=_count(ok),
        judged_unmatched=_count(ok & ~matched),
    )
    start_us = sent[rows]
    measured = Side(start_us, _since(first[rows], start_us), _since(last[rows], start_us), produced[rows])
    simulated = _with_network(outcomes, sim_rows, ttft_us[sim_rows], e2e_us[sim_rows], network)
    in_pieces = ~came_in_one_piece(records)[rows] & (last >= first)[rows]
    has_tpot = in_pieces & (measured.output_tokens >= 2) & (simulated.output_tokens >= 2)
    return Pairs(rows, measured, simulated, has_tpot, counts)


def measured_output_tokens(header: TraceHeader, records: TraceRecords) -> Ints:
    """(n,) tokens produced; simulated traces have them as chunks, and as output what was asked for."""
    return records.num_chunks if header.mode == "generated" else records.output_tokens


def came_in_one_piece(records: TraceRecords) -> Bools:
    """(n,) answers of several tokens whose first ones came with the last, because the client did not stream."""
    at_once: Bools = (records.num_chunks <= 1) & (records.first_chunk_us == records.last_chunk_us)
    at_once &= (records.output_tokens >= 2) & (records.last_chunk_us > 0)
    return at_once


def _rows_by_number(numbers: Ints, usable: Bools, wanted: Ints) -> Ints:
    """(n,) row of the usable request with each wanted number, -1 where there is none."""
    rows = np.flatnonzero(usable)
    if not len(rows):
        return np.full(len(wanted), -1)
    rows = rows[np.argsort(numbers[rows], kind="stable")]
    at = np.minimum(np.searchsorted(numbers[rows], wanted), len(rows) - 1)
    return np.where(numbers[rows][at] == wanted, rows[at], -1)


def _with_network(outcomes: Outcomes, rows: Ints, ttft_us: Ints, e2e_us: Ints, network: Network) -> Side:
    produced = outcomes.result.produced_tokens[rows]
    there = network.rtt_us + transfer_us(outcomes.table.input_tokens[rows], network.bandwidth_mbps)
    there_and_back = there + transfer_us(produced, network.bandwidth_mbps)
    return Side(outcomes.result.arrival_us[rows], ttft_us + there, e2e_us + there_and_back, produced)


def _tpot_us(side: Side, rows: Ints) -> Floats:
    return (side.e2e_us[rows] - side.ttft_us[rows]) / (side.output_tokens[rows] - 1)


def _since(stamps: Ints, start: Ints) -> Floats:
    return (stamps - start).astype(np.float64)


def _count(mask: Bools) -> int:
    return int(np.count_nonzero(mask))
