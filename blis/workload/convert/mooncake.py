"""Mooncake traces (https://github.com/kvcache-ai/Mooncake) and Dynamo's in the same format: JSON lines with the
time (ms), lengths, and ids of the prompt's token blocks, each of which stands for a whole path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from blis.workload.convert.json_lines import json_lines, number, whole
from blis.workload.convert.source import MOST_LENGTH, Rows, Source

#: What a field may be called; Dynamo's readers accept the second names, too.
TIME = ("timestamp", "created_time")
INPUT = ("input_length", "input_tokens")
OUTPUT = ("output_length", "output_tokens")
HASH_IDS = "hash_ids"

_BATCH_ROWS = 1 << 12
_US_PER_MS = 1000


def read_mooncake(source: Source) -> Iterator[Rows]:
    """Read lengths and hash ids; a missing list of ids is an empty one."""
    batch: list[tuple[int, int, int, list[int]]] = []
    for place, record in json_lines(source):
        row = _row(source, place, record)
        if row is not None:
            batch.append(row)
        if len(batch) == _BATCH_ROWS:
            yield _rows(batch, source.options.hash_block_tokens)
            batch = []
    if batch:
        yield _rows(batch, source.options.hash_block_tokens)


def _row(source: Source, place: str, record: dict[str, Any]) -> tuple[int, int, int, list[int]] | None:
    time, prompt, output = (_value(record, names) for names in (TIME, INPUT, OUTPUT))
    ids = record.get(HASH_IDS, [])
    size = source.options.hash_block_tokens
    problem = None
    arrival = source.time_us(time, _US_PER_MS) if number(time) else None
    if arrival is None:
        problem = f"{TIME[0]}: expected ms, got {time!r}"
        if time is None and "delay" in record:
            problem = f"{TIME[0]}: is missing; a request that waits for another one (delay) has no arrival of its own"
    elif not whole(prompt, 0, MOST_LENGTH):
        problem = f"{INPUT[0]}: expected a whole number in [0, {MOST_LENGTH}], got {prompt!r}"
    elif not whole(output, 0, MOST_LENGTH):
        problem = f"{OUTPUT[0]}: expected a whole number in [0, {MOST_LENGTH}], got {output!r}"
    elif not isinstance(ids, list) or not all(whole(one, -(2**63), 2**63 - 1) for one in ids):
        problem = f"{HASH_IDS}: expected a list of 64-bit integers, got {str(ids)[:40]!r}"
    elif prompt and (len(ids) - 1) * size >= prompt + output:
        problem = f"{HASH_IDS}: {len(ids)} ids of {size} tokens are too many for {prompt + output} tokens in all"
    if problem is not None:
        source.bad_row(place, problem)
        return None
    assert arrival is not None
    return arrival, prompt, output, ids


def _value(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if name in record), None)


def _rows(batch: list[tuple[int, int, int, list[int]]], block_tokens: int) -> Rows:
    import pyarrow as pa

    arrival, prompt, output, ids = zip(*batch, strict=True)
    columns = {
        "hash_ids": pa.array(ids, pa.list_(pa.int64())),
        "hash_block_tokens": pa.array(np.full(len(batch), block_tokens, dtype=np.int32)),
    }
    arrival_us, input_tokens, output_tokens = (np.array(each, dtype=np.int64) for each in (arrival, prompt, output))
    return Rows(arrival_us, input_tokens, output_tokens, columns)
