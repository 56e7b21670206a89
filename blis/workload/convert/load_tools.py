"""What load-testing tools write about each request: guidellm, aiperf, inference-perf and genai-bench.

Tokens are those that the server counted, where the file says them, else those that the tool counted by a tokenizer of
its own. Requests that failed, and aiperf's warm-up, are left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from blis.workload.convert.json_lines import json_lines, number, whole
from blis.workload.convert.json_results import Event, picked_events
from blis.workload.convert.source import MOST_LENGTH, Rows, Source
from blis.workload.requests import MOST_US
from blis.workload.traces.parquet import MEASURED

#: The wanted values of a request by their paths.
Record = Mapping[str, Any]


class _Request(NamedTuple):
    """What a file says of a request; None where it does not. Times are µs."""

    arrival_us: float | None
    prompt: Any
    output: Any
    ttft_us: float | None
    e2e_us: float | None


def read_guidellm(source: Source) -> Iterator[Rows]:
    """Read one benchmark of a report in JSON (guidellm 0.8), of several the one that is picked."""
    done, *others = (f"requests.{name}.item" for name in ("successful", "errored", "incomplete"))
    paths = ("prompt_tokens", "output_tokens", "request_start_time", "time_to_first_token_ms", "request_latency")

    def request(record: Record) -> _Request | None:
        if record["item"] != done:
            return None
        start, first, last = (record.get(name) for name in paths[2:])
        return _Request(_scaled(start, 1e6), *_first_two(record, paths), _scaled(first, 1e3), _scaled(last, 1e6))

    return _rows(source, _records(picked_events(source, "benchmarks.item"), (done, *others), paths), request)


def read_genai_bench(source: Source) -> Iterator[Rows]:
    """Read the file of a scenario and a concurrency (genai-bench 0.0.5), which says nothing of arrivals."""
    item, paths = "individual_request_metrics.item", ("num_input_tokens", "num_output_tokens", "error_code")

    def request(record: Record) -> _Request | None:
        return None if record.get("error_code") is not None else _Request(None, *_first_two(record, paths), None, None)

    return _rows(source, _records(picked_events(source), (item,), paths), request)


def read_inference_perf(source: Source) -> Iterator[Rows]:
    """Read ``per_request_lifecycle_metrics.json`` (inference-perf 0.7)."""
    usage, response = "info.response_metrics.server_usage", "info.response_metrics"
    prompt = (f"{usage}.prompt_tokens", "info.input_tokens", "info.request_metrics.text.input_tokens")
    output = (f"{usage}.completion_tokens", f"{response}.output_tokens")
    firsts = (f"{response}.output_token_times.item", f"{response}.chunk_times.item")
    error = "error.error_type"
    paths = ("start_time", "end_time", error, *prompt, *output, *firsts)

    def request(record: Record) -> _Request | None:
        if record.get(error) is not None:
            return None
        start = record.get("start_time")
        durations = (_since(start, _value(record, names)) for names in (firsts, ("end_time",)))
        return _Request(_scaled(start, 1e6), _value(record, prompt), _value(record, output), *durations)

    return _rows(source, _records(picked_events(source, None), ("item",), paths), request)


def read_aiperf(source: Source) -> Iterator[Rows]:
    """Read ``profile_export.jsonl`` (aiperf 0.13)."""
    prompt = ("usage_prompt_tokens", "input_sequence_length")
    output = ("usage_completion_tokens", "output_sequence_length")

    def request(record: Record) -> _Request | None:
        metadata, metrics = _part(record, "metadata"), _part(record, "metrics")
        if record.get("error") is not None or metadata.get("was_cancelled"):
            return None
        values = {name: metric.get("value") for name, metric in metrics.items() if isinstance(metric, dict)}
        start = metadata.get("request_start_ns")
        durations = (_scaled(values.get(name), 1e3) for name in ("time_to_first_token", "request_latency"))
        arrival_us = start // 1000 if isinstance(start, int) else None
        return _Request(arrival_us, _value(values, prompt), _value(values, output), *durations)

    return _rows(source, _without_warm_up(source), request)


def _part(record: Record, name: str) -> Mapping[str, Any]:
    """A record within; empty where there is none."""
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _without_warm_up(source: Source) -> Iterator[tuple[str, Record]]:
    num_others = 0
    for place, record in json_lines(source):
        phase = _part(record, "metadata").get("benchmark_phase", "profiling")
        if phase == "profiling":
            yield place, record
        else:
            num_others += 1
    if num_others:
        source.assume(f"{num_others} requests of the warm-up are left out")


def _records(events: Iterable[Event], items: tuple[str, ...], paths: Iterable[str]) -> Iterator[tuple[str, Record]]:
    """The wanted values of each request, of lists the first one, and ``item``, where it stands."""
    wanted = {f"{item}.{path}": path for item in items for path in paths}
    record: dict[str, Any] = {}
    number_of = dict.fromkeys(items, 0)
    for prefix, event, value in events:
        if prefix in number_of and event == "start_map":
            record = {"item": prefix}
        elif prefix in number_of and event == "end_map":
            yield f"{prefix.removesuffix('.item')}[{number_of[prefix]}]", record
            number_of[prefix] += 1
        elif prefix in wanted and event in ("number", "string", "boolean"):
            record.setdefault(wanted[prefix], value)


def _rows(
    source: Source, records: Iterable[tuple[str, Record]], request_of: Callable[[Record], _Request | None]
) -> Iterator[Rows]:
    """The requests that did not fail, all at once; durations only if all of them have some."""
    import pyarrow as pa

    lengths, times = (array("q"), array("q")), [array("d") for _ in range(3)]
    for place, record in records:
        request = request_of(record)
        if request is None:
            source.num_failed += 1
        elif (problem := _problem(request)) is not None:
            source.bad_row(place, problem)
        else:
            for values, value in zip(lengths, request[1:3], strict=True):
                values.append(value)
            for stamps, stamp in zip(times, (request.arrival_us, *request[3:]), strict=True):
                stamps.append(float("nan") if stamp is None else stamp)
    source.assume("tokens are the server's own count, where the file has it")
    prompt, output = (np.array(values, dtype=np.int64) for values in lengths)
    arrival, ttft, e2e = (np.array(stamps) for stamps in times)
    columns = {}
    if len(prompt) and (ttft <= e2e).all():
        columns = {name: pa.array(np.rint(us).astype(np.int64)) for name, us in zip(MEASURED, (ttft, e2e), strict=True)}
    if np.isnan(arrival).any() and not np.isnan(arrival).all():
        raise source.error("some requests have no time at which they were sent")
    arrival_us = None if not len(prompt) or np.isnan(arrival).any() else np.rint(arrival).astype(np.int64)
    yield Rows(arrival_us, prompt, output, columns)


def _problem(request: _Request) -> str | None:
    """What makes no sense about a request."""
    for name, value in (("prompt", request.prompt), ("output", request.output)):
        if not whole(value, 0, MOST_LENGTH):
            return f"tokens of the {name}: expected a whole number in [0, {MOST_LENGTH}], got {value!r}"
    for name, us in (("arrival", request.arrival_us), ("ttft", request.ttft_us), ("latency", request.e2e_us)):
        if us is not None and not 0 <= us <= MOST_US:
            return f"{name}: expected a time in [0, {MOST_US}] µs, got {us}"
    return None


def _first_two(record: Record, paths: tuple[str, ...]) -> tuple[Any, Any]:
    return record.get(paths[0]), record.get(paths[1])


def _value(record: Record, paths: Iterable[str]) -> Any:
    """The first of some values that is there."""
    return next((record[path] for path in paths if record.get(path) is not None), None)


def _scaled(value: Any, factor: float) -> float | None:
    return value * factor if number(value) else None


def _since(start: Any, end: Any) -> float | None:
    """µs between two times in seconds."""
    return (end - start) * 1e6 if number(start) and number(end) else None
