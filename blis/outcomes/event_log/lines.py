"""The lines of an event log: the stamps of all requests, and what was recorded of instances, merged by the clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER, NONE, RequestStatus
from blis.outcomes.outcomes import STATUS_NAMES, Outcomes, instance_ids
from blis.workload.requests import Ints

#: Lines made at a time, of each kind of event.
_ROWS = 1 << 12
_REFUSED = (RequestStatus.REFUSED_TOO_LONG, RequestStatus.REFUSED_NEVER_FITS)
_NEVER_CAME = (RequestStatus.NOT_ARRIVED, RequestStatus.NOT_SENT)

#: Clock, kind, and request or instance, which no two events have in common; then the line.
Entry = tuple[int, int, int, str]


class Event(IntEnum):
    """Kinds of events, in their order within one microsecond: a step's end comes before the next one's beginning."""

    ARRIVAL = 0
    REFUSED = 1
    ADMITTED = 2
    REJECTED = 3
    ROUTED = 4
    VISIBLE = 5
    FIRST_TOKEN = 6
    FINISHED = 7
    PREEMPTED = 8
    FIRST_SCHEDULED = 9
    STEP = 10


def event_lines(outcomes: Outcomes, recorded: Iterable[Iterable[tuple[int, Ints]]]) -> Iterator[str]:
    """All lines of a run.

    Args:
        outcomes: of the run.
        recorded: of each instance that has any its index, and rows that are sorted as lines are: `Event`, clock,
            request (-1: a step), and of a step its time, batch size, new tokens, and blocks free after scheduling.
    """
    stamps = [_request_entries(outcomes, *source) for source in _stamps(outcomes)]
    instances = (_instance_entries(outcomes, chunks) for chunks in recorded)
    for entry in heapq.merge(*stamps, *instances):
        yield entry[-1]


def _stamps(outcomes: Outcomes) -> Iterator[tuple[Event, NDArray[np.bool_], Ints]]:
    """Of each kind of event: whose it is, and when it came."""
    result, cluster = outcomes.result, outcomes.metadata["cluster"]
    status, arrival_us = result.status, result.arrival_us
    admission_us = arrival_us + cluster["admission_latency_us"]
    routing_us = admission_us + cluster["routing_latency_us"]
    arrived, refused = ~np.isin(status, _NEVER_CAME), np.isin(status, _REFUSED)
    rejected, routed = status == RequestStatus.REJECTED, result.instance != NONE
    # after Ctrl-C nobody knows of those that wait whether they were let in, unless they were sent on
    admitted = arrived & ~refused & ~rejected & (routed | (not result.interrupted))
    yield Event.ARRIVAL, arrived, arrival_us
    yield Event.REFUSED, refused, arrival_us
    yield Event.ADMITTED, admitted & (admission_us <= result.end_us), admission_us
    yield Event.REJECTED, rejected, admission_us
    yield Event.ROUTED, arrived & routed & (routing_us <= result.end_us), routing_us
    for kind, stamp_us in (
        (Event.VISIBLE, result.enqueued_us),
        (Event.FIRST_SCHEDULED, result.first_scheduled_us),
        (Event.FIRST_TOKEN, result.first_token_us),
        (Event.FINISHED, result.finished_us),
    ):
        yield kind, stamp_us != NEVER, stamp_us


def _request_entries(outcomes: Outcomes, kind: Event, happened: NDArray[np.bool_], clock_us: Ints) -> Iterator[Entry]:
    """One kind of event, of all requests, by clock and number of the request."""
    numbers, rows = outcomes.table.numbers, np.flatnonzero(happened)
    rows = rows[np.lexsort((numbers[rows], clock_us[rows]))]
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        texts = _details(outcomes, kind, some)
        for at_us, number, text in zip(clock_us[some].tolist(), numbers[some].tolist(), texts, strict=True):
            yield at_us, kind, number, f"{_head('debug', at_us, kind)} request={number}{text}"


def _details(outcomes: Outcomes, kind: Event, rows: Ints) -> list[str]:
    """What the lines of some requests end with."""
    result, table = outcomes.result, outcomes.table
    fields: dict[str, Iterable[object]] = {}
    if kind >= Event.ROUTED:
        names = instance_ids(len(result.instances))
        fields["instance"] = [names[index] for index in result.instance[rows].tolist()]
    match kind:
        case Event.ARRIVAL:
            fields |= {"input_tokens": table.input_tokens[rows], "output_tokens": table.output_tokens[rows]}
        case Event.REFUSED:
            fields["reason"] = [STATUS_NAMES[code].removeprefix("refused_") for code in result.status[rows].tolist()]
        case Event.FIRST_SCHEDULED:
            fields["cached_tokens"] = result.cached_tokens[rows]
        case Event.FINISHED:
            fields |= {"output_tokens": result.produced_tokens[rows], "preemptions": result.num_preemptions[rows]}
    if not fields:
        return [""] * len(rows)
    form = "".join(f" {name}=%s" for name in fields)
    return [form % values for values in zip(*fields.values(), strict=True)]


def _instance_entries(outcomes: Outcomes, chunks: Iterable[tuple[int, Ints]]) -> Iterator[Entry]:
    """What was recorded of one instance."""
    numbers, usable = outcomes.table.numbers, outcomes.result.usable_blocks
    for index, rows in chunks:
        for kind, at_us, subject, step_us, batch_size, new_tokens, free in rows.tolist():
            if kind == Event.PREEMPTED:
                number = int(numbers[subject])
                head = _head("debug", at_us, Event.PREEMPTED)
                yield at_us, kind, number, f"{head} request={number} instance=instance_{index}"
                continue
            text = f"step_us={step_us} batch_size={batch_size} new_tokens={new_tokens}"
            text += f" used_blocks={usable - free} free_blocks={free}"
            yield at_us, kind, index, f"{_head('trace', at_us, Event.STEP)} instance=instance_{index} {text}"


def _head(level: str, clock_us: int, kind: Event) -> str:
    return f"level={level} clock_us={clock_us} event={kind.name.lower()}"
