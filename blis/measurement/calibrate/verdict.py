"""Whether a comparison says anything about the simulator, and if not, why, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from blis.measurement.calibrate.configuration import ConfigMatch
from blis.measurement.calibrate.pairing import Bools, Pairs, came_in_one_piece
from blis.outcomes.outcomes import Outcomes
from blis.workload.requests import Ints
from blis.workload.traces.tracev2.header import TraceHeader
from blis.workload.traces.tracev2.records import TraceRecords

#: With 30 pairs an r of 0.85 has a 95 % interval from 0.71 to 0.93 (Fisher's z), which is that of one grade; with
#: fewer the grade is mostly luck.
FEWEST_PAIRS = 30
#: Median lateness of a client beyond which the server did not see the arrivals that were simulated. Steps of a server
#: take about as long: an arrival later than that meets another batch.
MOST_LATE_US = 10_000
#: Shares of requests beyond which the p95 may consist of nothing but those that failed, were left out, or were
#: other work than what was simulated.
MOST_FAILED, MOST_UNMATCHED, MOST_MISMATCHED, MOST_IN_ONE_PIECE = 0.05, 0.05, 0.05, 0.05
#: A backlog grows if requests meet on average this many times more load in the last third of the run than in the
#: first, and than in the second. A backlog that grows evenly from nothing has 5 and 1.67; one that only fills up at the
#: start has its growth in the first third, so the second bound keeps it out.
GROWTH_SINCE_FIRST_THIRD, GROWTH_SINCE_SECOND_THIRD = 2.0, 1.25
#: ... and this many requests more than in the second third: a few more or less are chance.
LEAST_GROWTH_REQUESTS = 4.0

_GENERATED = "The trace is itself simulated (mode: generated): two simulations are compared, nothing was measured."
_NO_WARM_UP = (
    "No warm-up was excluded: if the server was cold, the first requests count against the prediction. Say how many "
    "with --warmup-requests, or 0 if it was warm."
)


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that a verdict goes by.

    Attributes:
        header: of the trace.
        records: of the trace.
        outcomes: of the simulation.
        pairs: of both.
        in_flight: (n,) load that each request of the trace met.
        config: server and simulation.
        warm_up_given: whether the user said how many requests are warm-up, be it none.
        warm_up_requests: how many that are.
    """

    header: TraceHeader
    records: TraceRecords
    outcomes: Outcomes
    pairs: Pairs
    in_flight: Ints
    config: ConfigMatch
    warm_up_given: bool
    warm_up_requests: int


def not_meaningful_because(evidence: Evidence) -> list[str]:
    """Reasons why the comparison does not tell how good the simulator is, a sentence each; empty: it does."""
    behind = evidence.records.request_id >= evidence.warm_up_requests
    return [
        *_about_the_measurement(evidence, behind),
        *_about_the_pairs(evidence, behind),
        *_about_the_simulation(evidence),
    ]


def notes(evidence: Evidence) -> list[str]:
    """What readers should know of a comparison that may well mean something, a sentence or two each."""
    found = []
    if evidence.header.mode == "generated":
        found.append(_GENERATED)
    if evidence.header.mode == "real" and evidence.warm_up_requests == 0 and not evidence.warm_up_given:
        found.append(_NO_WARM_UP)
    return found


def _about_the_measurement(evidence: Evidence, behind: Bools) -> Iterator[str]:
    records, counts = evidence.records, evidence.pairs.counts
    growth = backlog_growth(records.send_us[behind], evidence.in_flight[behind])
    if growth is not None:
        first, last = growth
        yield (
            f"The server was saturated: requests met {first:.1f} others in flight in the first third of the run and "
            f"{last:.1f} in the last, so waiting times measure how long the run was, and errors add up in the queue."
        )
    if behind.any():
        late_us = float(np.median(records.send_us[behind] - records.arrival_us[behind]))
        if late_us > MOST_LATE_US:
            yield (
                f"The client was late: half of the requests were sent {late_us / 1000:.1f} ms or more after their time "
                f"(at most {MOST_LATE_US / 1000:g} ms is good), so the server saw other arrivals than the simulation."
            )
    sent = counts.num_requests - counts.warm_up_excluded
    if counts.failed > MOST_FAILED * sent:
        yield (f"{counts.failed} of {sent} requests failed; the load they put on the server is not in the comparison.")


def _about_the_pairs(evidence: Evidence, behind: Bools) -> Iterator[str]:
    pairs, counts = evidence.pairs, evidence.pairs.counts
    if len(pairs) < FEWEST_PAIRS:
        yield f"Only {len(pairs)} requests can be compared; {FEWEST_PAIRS} are needed for figures that mean something."
    if counts.judged_unmatched > MOST_UNMATCHED * counts.judged:
        yield (
            f"The simulation has no result for {counts.judged_unmatched} of the {counts.judged} requests that the "
            "server answered."
        )
    if counts.token_mismatches > MOST_MISMATCHED * counts.matched_pairs:
        yield (
            f"{counts.token_mismatches} of {counts.matched_pairs} matched requests have other token counts in the "
            "simulation than in the trace, so they are different work."
        )
    in_one_piece = int(np.count_nonzero(came_in_one_piece(evidence.records)[pairs.rows]))
    if in_one_piece > MOST_IN_ONE_PIECE * len(pairs):
        yield (
            f"{in_one_piece} of {len(pairs)} answers came in one piece, not streamed, so their measured TTFT is their "
            "E2E; only E2E compares."
        )


def _about_the_simulation(evidence: Evidence) -> Iterator[str]:
    if evidence.outcomes.result.interrupted:
        yield "The simulation was interrupted before its end."
    contradictions = list(evidence.config.contradictions())
    if contradictions:
        yield f"The simulation had other settings than the server: {'; '.join(contradictions)}."


def backlog_growth(send_us: Ints, in_flight: Ints) -> tuple[float, float] | None:
    """Tell whether the requests in flight kept growing over the run.

    Args:
        send_us: (n,) when requests were sent.
        in_flight: (n,) load that each met.

    Returns:
        Mean load met in the first and in the last third of the time, if it kept growing from one third to the next;
        None if not, or if a third has no requests.
    """
    if not len(send_us):
        return None
    start, end = int(send_us.min()), int(send_us.max())
    third = np.minimum((send_us - start) * 3 // max(end - start, 1), 2)
    counts = np.bincount(third, minlength=3)
    if not counts.all():
        return None
    first, second, last = (np.bincount(third, in_flight, minlength=3) / counts).tolist()
    grows = (
        last > GROWTH_SINCE_FIRST_THIRD * first
        and last > GROWTH_SINCE_SECOND_THIRD * second
        and last - second >= LEAST_GROWTH_REQUESTS
    )
    return (first, last) if grows else None
