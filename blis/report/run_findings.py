"""What stands out in a run, a sentence each, and when it happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import RequestStatus
from blis.outcomes.metrics.anomalies import blocked_instances, overtaken
from blis.outcomes.metrics.timeline import MOST_BINS, Grid, Timeline
from blis.outcomes.metrics.window import window_notes
from blis.outcomes.outcomes import Outcomes, instance_ids
from blis.report.page import Finding
from blis.report.run_table import steps
from blis.report.tables import number

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: Instances that are named one by one.
_MOST_NAMES = 5


class Incident(NamedTuple):
    """Something that happened to requests.

    Attributes:
        name: a word or two.
        rows: (n,) to which requests.
        sentence: what it means, with ``{count}`` for how many.
    """

    name: str
    rows: Bools
    sentence: str


def incidents(outcomes: Outcomes, anomalies: Mapping[str, int]) -> list[Incident]:
    """Incidents that there were, the worst first; ``anomalies`` are the counts of `blis.outcomes.metrics.anomalies`."""
    status = outcomes.result.status
    pairs = anomalies["priority_inversions"]
    inverted = overtaken(outcomes) if pairs else np.zeros(len(outcomes), np.bool_)
    all_of_them = [
        Incident("rejected", status == RequestStatus.REJECTED, "{count} turned away by the admission policy."),
        Incident(
            "refused: too long",
            status == RequestStatus.REFUSED_TOO_LONG,
            "{count} refused on arrival: the prompt is longer than max_model_len allows.",
        ),
        Incident(
            "refused: never fit",
            status == RequestStatus.REFUSED_NEVER_FITS,
            "{count} refused on arrival: the KV cache has fewer blocks than they would need.",
        ),
        Incident(
            "unfinished",
            np.isin(status, (RequestStatus.WAITING, RequestStatus.RUNNING)),
            "{count} without an end when the run was over; they are missing from the end-to-end times.",
        ),
        Incident(
            "preempted",
            outcomes.result.num_preemptions > 0,
            "{count} lost their KV blocks to others and had to be computed again "
            f"({int(outcomes.result.num_preemptions.sum()):,} preemptions in all): the KV cache was full.",
        ),
        Incident(
            "overtaken",
            inverted,
            "{count} took more than twice as long as a later one of the same class and instance "
            f"({pairs:,} such pairs, the priority inversions).",
        ),
    ]
    return [each for each in all_of_them if each.rows.any()]


def findings(outcomes: Outcomes, found: list[Incident], over_time: Timeline) -> list[Finding]:
    """Sentences about time covered, overload, incidents and when they were, queues of uneven length, and cliffs."""
    texts = [
        Finding(each.name.capitalize(), f"{each.sentence.format(count=_requests(each.rows))} {_when(outcomes, each)}")
        for each in found
    ]
    covered = [Finding("Time covered", f"{note[:1].upper()}{note[1:]}.") for note in window_notes(outcomes)]
    return [*covered, *_overloaded(outcomes), *texts, *_blocked(outcomes, over_time), *_cliffs(outcomes)]


def _overloaded(outcomes: Outcomes) -> Iterator[Finding]:
    backlog = outcomes.steady_state.backlog
    if backlog.stable is False:
        start_s, end_s = (stamp_us / 1e6 for stamp_us in backlog.window_us)
        yield Finding(
            "Overloaded",
            f"From {start_s:,.1f} to {end_s:,.1f} s, {backlog.arrivals_per_s:,.4g} requests arrived per second, and "
            f"the backlog grew by {backlog.growth_per_s:,.3g} per second. "
            + (
                "Percentiles are those of this load's ups and downs; a longer peak would have higher ones."
                if outcomes.steady_state.has_changing_load
                else "Percentiles are those of this run's length; a longer one would have higher ones."
            ),
        )


def counts_over_time(outcomes: Outcomes, found: list[Incident]) -> dict[str, Floats]:
    """Per incident, (k,) how many of its requests arrived in each part of the run."""
    grid = _grid(outcomes)
    return {each.name: _counts(outcomes, each, grid) for each in found}


def _grid(outcomes: Outcomes) -> Grid:
    return Grid(max(outcomes.result.end_us, 1), MOST_BINS)


def _counts(outcomes: Outcomes, incident: Incident, grid: Grid) -> Floats:
    arrival_us = outcomes.result.arrival_us[incident.rows]
    counts: Floats = grid.count(np.zeros(len(arrival_us), np.int64), arrival_us)[0]
    return counts


def _when(outcomes: Outcomes, incident: Incident) -> str:
    """From when to when these requests arrived, and when most of them did."""
    arrival_us = outcomes.result.arrival_us[incident.rows]
    first, last = f"{arrival_us.min() / 1e6:,.2f}", f"{arrival_us.max() / 1e6:,.2f}"
    if len(arrival_us) == 1 or first == last:
        return f"Arrived at {first} s."
    grid = _grid(outcomes)
    counts = _counts(outcomes, incident, grid)
    most = int(counts.argmax())
    around = f", most densely around {(most + 0.5) * grid.width_us / 1e6:,.1f} s" if counts[most] > 2 else ""
    return f"They arrived between {first} and {last} s{around}."


def _blocked(outcomes: Outcomes, over_time: Timeline) -> Iterator[Finding]:
    blocked = blocked_instances(outcomes)
    if not len(blocked):
        return
    names = np.array(instance_ids(len(outcomes.result.instances)))[blocked]
    listed = ", ".join(names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    )
    queue = over_time.waiting[blocked].sum(0)
    at = int(queue.argmax())
    yield Finding(
        "Head-of-line blocking",
        f"The mean queue of {listed} was more than twice as long as those of the others. "
        f"It was longest around {over_time.middle_s[at]:,.1f} s ({queue[at]:,.0f} requests waiting).",
    )


def _cliffs(outcomes: Outcomes) -> Iterator[Finding]:
    for name, step in steps(outcomes, outcomes.summary):
        yield Finding(
            f"Cliff in {name}",
            f"It goes from {number(step.lower_ms, 1)} ms at p{step.lower} to {number(step.upper_ms, 1)} ms at "
            f"p{step.upper}: some requests wait for something that the others never meet. A little more or less load "
            "moves a percentile from one side to the other, so keep away from both.",
        )


def _requests(rows: Bools) -> str:
    count = int(np.count_nonzero(rows))
    return f"{count:,} of {len(rows):,} requests" if count != 1 else f"1 of {len(rows):,} requests"
