"""Trace events of steps and requests, in the Chrome trace-event format that Perfetto opens.

The format is that of Google's "Trace Event Format"; ``ts`` and ``dur`` are µs. Instances are processes; their first
thread has the steps, all others have requests, one behind the other.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from blis import __version__
from blis._core.codes import NEVER, RequestStatus
from blis.files.output import replacing
from blis.outcomes.outcomes import STATUS_NAMES, Outcomes, instance_ids
from blis.workload.requests import Ints

Event = dict[str, Any]

#: Threads of an instance; viewers take 0 for idle time.
_STEPS_THREAD, _FIRST_LANE = 1, 2
_TURNED_AWAY = (RequestStatus.REJECTED, RequestStatus.REFUSED_TOO_LONG, RequestStatus.REFUSED_NEVER_FITS)


@dataclass(frozen=True)
class Window:
    """What part of a run is written.

    Attributes:
        start_us: beginning.
        end_us: end, exclusive.
        most_requests: how many requests at most, the first ones by when they were queued.
    """

    start_us: int
    end_us: int
    most_requests: int


def write_events(outcomes: Outcomes, steps: Ints, window: Window, path: Path, notes: Sequence[str]) -> list[str]:
    """Write the file; events are sorted by time.

    Args:
        outcomes: of the run.
        steps: (s, 9) `blis.outcomes.timeline.recording.STEP_COLUMNS`, sorted by start.
        window: which requests belong to it.
        path: replaced when everything is written.
        notes: what was left out so far.

    Returns:
        What was left out in addition.
    """
    rows, more_notes = _requests(outcomes, window)
    lanes = _lanes(outcomes, rows)
    events = [*_step_events(outcomes, steps), *_request_events(outcomes, rows, lanes)]
    events += _turned_away_events(outcomes, window)
    events.sort(key=lambda event: event["ts"])
    head = {
        "blis_version": __version__,
        "window_s": [window.start_us / 1e6, min(window.end_us, outcomes.result.end_us) / 1e6],
        "left_out": [*notes, *more_notes],
        **{name: outcomes.metadata[name] for name in ("model", "hardware", "tp", "seed") if name in outcomes.metadata},
    }
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'{{"displayTimeUnit": "ms",\n"otherData": {json.dumps(head)},\n"traceEvents": [\n')
        for text in _joined(chain(_names(outcomes, lanes), events)):
            file.write(text)
        file.write("\n]}\n")
    return more_notes


def _joined(events: Iterable[Event]) -> Iterator[str]:
    separator = ""
    for event in events:
        yield separator + json.dumps(event, separators=(",", ":"))
        separator = ",\n"


def _requests(outcomes: Outcomes, window: Window) -> tuple[Ints, list[str]]:
    """Rows of the requests that some instance had in hand during the window, by when they were queued."""
    result = outcomes.result
    there = (result.enqueued_us != NEVER) & ~np.isin(result.status, _TURNED_AWAY)
    there &= (result.enqueued_us < window.end_us) & (_end_us(outcomes) >= window.start_us)
    rows = np.flatnonzero(there)
    rows = rows[np.argsort(result.enqueued_us[rows], kind="stable")]
    if len(rows) <= window.most_requests:
        return rows, []
    note = f"the timeline has the first {window.most_requests:,} of {len(rows):,} requests in it"
    return rows[: window.most_requests], [note]


def _end_us(outcomes: Outcomes) -> Ints:
    result = outcomes.result
    return np.where(result.finished_us == NEVER, result.end_us, result.finished_us)


def _lanes(outcomes: Outcomes, rows: Ints) -> list[int]:
    """A thread for each request, on which nothing else is at that time; threads are used again."""
    free: dict[int, list[tuple[int, int]]] = {}
    lanes = []
    columns = (outcomes.result.instance[rows], outcomes.result.enqueued_us[rows], _end_us(outcomes)[rows])
    for instance, start_us, end_us in zip(*(column.tolist() for column in columns), strict=True):
        used = free.setdefault(instance, [])
        lane = heapq.heappop(used)[1] if used and used[0][0] <= start_us else _FIRST_LANE + len(used)
        heapq.heappush(used, (end_us, lane))
        lanes.append(lane)
    return lanes


def _names(outcomes: Outcomes, lanes: Sequence[int]) -> Iterator[Event]:
    """What processes and threads are called, and their order."""
    instances = instance_ids(len(outcomes.result.instances))
    threads = {_STEPS_THREAD: "steps"}
    threads |= {lane: f"requests {lane - _FIRST_LANE + 1}" for lane in range(_FIRST_LANE, max(lanes, default=1) + 1)}
    for place, name in enumerate([*instances, "cluster"], start=1):
        yield _meta("process_name", place, 0, {"name": name})
        yield _meta("process_sort_index", place, 0, {"sort_index": place})
    for pid in range(1, len(instances) + 1):
        for tid, name in threads.items():
            yield _meta("thread_name", pid, tid, {"name": name})
            yield _meta("thread_sort_index", pid, tid, {"sort_index": tid})
    yield _meta("thread_name", len(instances) + 1, 1, {"name": "turned away"})


def _meta(name: str, pid: int, tid: int, args: dict[str, Any]) -> Event:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "ts": 0, "args": args}


def _slice(name: str, category: str, place: tuple[int, int], start_us: int, end_us: int, args: dict[str, Any]) -> Event:
    return {
        **{"ph": "X", "name": name, "cat": category, "pid": place[0], "tid": place[1]},
        **{"ts": start_us, "dur": end_us - start_us, "args": args},
    }


def _counter(name: str, pid: int, at_us: int, values: dict[str, int]) -> Event:
    return {"ph": "C", "name": name, "pid": pid, "tid": _STEPS_THREAD, "ts": at_us, "args": values}


def _step_events(outcomes: Outcomes, steps: Ints) -> Iterator[Event]:
    """A slice per step, and counters of KV blocks and requests."""
    usable = outcomes.result.usable_blocks
    for instance, start, duration, prefill, decodes, prefills, free, end_free, waiting in steps.tolist():
        pid, end = instance + 1, start + duration
        name = "prefill and decode" if prefill and decodes else "prefill" if prefill else "decode"
        args = {"prefill_tokens": prefill, "prefills": prefills, "decodes": decodes}
        yield _slice(name, "step", (pid, _STEPS_THREAD), start, end, args)
        yield _counter("KV blocks in use", pid, start, {"blocks": usable - free})
        if end_free != NEVER:  # else the run ended in this step
            yield _counter("KV blocks in use", pid, end, {"blocks": usable - end_free})
            yield _counter("waiting requests", pid, start, {"requests": waiting})


def _request_events(outcomes: Outcomes, rows: Ints, lanes: Sequence[int]) -> Iterator[Event]:
    """Up to three slices per request: waiting, prefill, decode; none that took no time."""
    result, table = outcomes.result, outcomes.table
    columns = (
        *(table.numbers, result.instance, result.status, result.enqueued_us, result.first_scheduled_us),
        *(result.first_token_us, _end_us(outcomes), result.arrival_us, table.input_tokens, result.cached_tokens),
        *(result.produced_tokens, result.num_preemptions),
    )
    found = zip(lanes, *(column[rows].tolist() for column in columns), strict=True)
    for (
        lane,
        number,
        instance,
        status,
        queued,
        begun,
        first,
        end,
        arrival,
        prompt,
        cached,
        produced,
        preempted,
    ) in found:
        place, request = (instance + 1, lane), f"request_{number}"
        begun_or_end = end if begun == NEVER else begun
        first_or_end = end if first == NEVER else first
        if begun_or_end > queued:
            yield _slice("waiting", "request", place, queued, begun_or_end, {"request": request, "arrival_us": arrival})
        if first_or_end > begun_or_end:
            args = {"request": request, "input_tokens": prompt, "cached_tokens": cached}
            yield _slice("prefill", "request", place, begun_or_end, first_or_end, args)
        if end > first_or_end:
            args = {"request": request, "output_tokens": produced, "preemptions": preempted}
            yield _slice("decode", "request", place, first_or_end, end, args | {"status": STATUS_NAMES[status]})


def _turned_away_events(outcomes: Outcomes, window: Window) -> Iterator[Event]:
    """An instant per request that was rejected or refused, at its arrival."""
    result, pid = outcomes.result, len(outcomes.result.instances) + 1
    there = np.isin(result.status, _TURNED_AWAY)
    there &= (result.arrival_us >= window.start_us) & (result.arrival_us < window.end_us)
    rows = np.flatnonzero(there)[: window.most_requests]
    for number, status, at_us in zip(
        *(column[rows].tolist() for column in (outcomes.table.numbers, result.status, result.arrival_us)), strict=True
    ):
        args = {"request": f"request_{number}"}
        yield {"ph": "i", "s": "t", "name": STATUS_NAMES[status], "pid": pid, "tid": 1, "ts": at_us, "args": args}
