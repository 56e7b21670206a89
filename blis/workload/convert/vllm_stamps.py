"""Per-request stamps of a vLLM server (its ``RequestStateStats``): JSON lines with the times at which a request arrived
and was queued, and at which its first and last token were done.

Arrivals are on the wall clock, all other stamps on the engine's monotonic one. The difference between the clocks is
taken to be the smallest time between arrival and queueing: what passes there for every request cannot be seen.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from blis.workload.convert.hash_blocks import decide_block_tokens
from blis.workload.convert.json_lines import json_lines, number, whole
from blis.workload.convert.options import MOONCAKE_BLOCK_TOKENS
from blis.workload.convert.source import MOST_LENGTH, Rows, Source
from blis.workload.requests import MOST_US, Ints
from blis.workload.traces.hash_ids import LEAST_ID, MOST_ID, signed
from blis.workload.traces.parquet import HASH_IDS, MEASURED

ID = "request_id"
#: What a length may be called.
INPUT = ("input_toks", "input_tokens", "num_prompt_tokens")
OUTPUT = ("output_toks", "output_tokens", "num_generation_tokens")
#: In the order in which they happen; seconds.
STAMPS = ("arrival_time", "queued_ts", "first_token_ts", "last_token_ts")

_US_PER_S = 1e6
#: The clock goes no further.
_MOST_S = MOST_US / _US_PER_S


def read_vllm_stamps(source: Source) -> Iterator[Rows]:
    """Read lengths, arrivals and measured durations, and hash ids if the options name a file with some.

    Requests without a token are counted as failed.

    Raises:
        WorkloadError: a row is wrong, or there are no hash ids for it.
    """
    hash_ids = _hash_ids(source)
    prompt, output, *stamps = (array("d") for _ in (INPUT, OUTPUT, *STAMPS))
    ids: list[Sequence[int]] = []
    for place, record in json_lines(source):
        row = _row(source, place, record)
        if row is None:
            continue
        if hash_ids is not None:
            request = str(record.get(ID))
            if request not in hash_ids:
                source.bad_row(place, f"{ID}: {source.options.hash_ids} has no hash ids for {request[:40]!r}")
                continue
            ids.append(hash_ids[request])
        for values, value in zip((prompt, output, *stamps), row, strict=True):
            values.append(value)
    if not prompt:
        return
    arrival_s, queued_s, first_s, last_s = (np.array(values) for values in stamps)
    # subtracted before they are scaled: in a double, seconds since 1970 have a resolution of 0.2 µs
    offset_s = (queued_s - arrival_s).min()
    since = [np.rint((stamp - offset_s - arrival_s) * _US_PER_S).astype(np.int64) for stamp in (first_s, last_s)]
    lengths = np.array(prompt, dtype=np.int64), np.array(output, dtype=np.int64)
    columns = dict(zip(MEASURED, map(_column, since), strict=True)) | _hash_columns(source, *lengths, ids)
    arrival_us = np.rint(arrival_s * _US_PER_S).astype(np.int64)
    yield Rows(arrival_us, *lengths, columns)


def _row(source: Source, place: str, record: dict[str, Any]) -> tuple[float, ...] | None:
    prompt, output = (_value(record, names) for names in (INPUT, OUTPUT))
    stamps: list[Any] = [record.get(name) for name in STAMPS]
    problem = None
    for names, value in ((INPUT, prompt), (OUTPUT, output)):
        if not whole(value, 0, MOST_LENGTH):
            problem = f"{names[0]}: expected a whole number in [0, {MOST_LENGTH}], got {value!r}"
    for name, value in zip(STAMPS, stamps, strict=True):
        if not number(value) or not abs(value) <= _MOST_S:
            problem = f"{name}: expected seconds, got {str(value)[:40]}"
    if problem is None and not any(stamps[2:]):  # vLLM writes 0 for what never happened
        source.num_failed += 1
        return None
    if problem is None and not stamps[1] <= stamps[2] <= stamps[3]:
        problem = f"{STAMPS[1]} to {STAMPS[3]}: must not decrease, got {stamps[1]}, {stamps[2]}, {stamps[3]}"
    if problem is not None:
        source.bad_row(place, problem)
        return None
    return (prompt, output, *stamps)


def _value(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if name in record), None)


def _hash_ids(source: Source) -> dict[str, Sequence[int]] | None:
    """Hash ids by request, if there is a file of them."""
    path = source.options.hash_ids
    if path is None:
        return None
    other = Source(path, source.options)
    found: dict[str, Sequence[int]] = {}
    for place, record in json_lines(other):
        ids = record.get(HASH_IDS[0])
        if not isinstance(ids, list) or not all(whole(one, LEAST_ID, MOST_ID) for one in ids):
            raise other.error(f"{place}: {HASH_IDS[0]}: expected a list of 64-bit integers, got {str(ids)[:40]!r}")
        found[str(record.get(ID))] = array("q", signed(ids))
    return found


def _hash_columns(source: Source, prompt: Ints, output: Ints, ids: list[Sequence[int]]) -> dict[str, Any]:
    import pyarrow as pa

    if not ids:
        return {}
    num_ids = np.array([len(one) for one in ids])
    size = decide_block_tokens(source, prompt, output, num_ids, MOONCAKE_BLOCK_TOKENS, "Mooncake's traces")
    sizes = np.full(len(ids), size, dtype=np.int32)
    return {HASH_IDS[0]: pa.array(ids, pa.list_(pa.int64())), HASH_IDS[1]: pa.array(sizes)}


def _column(values: Any) -> Any:
    import pyarrow as pa

    return pa.array(values)
