"""JSON lines with a time, lengths and, for some, ids of the prompt's token blocks.

Mooncake's traces (https://github.com/kvcache-ai/Mooncake; ms) and Dynamo's, Qwen-Bailian's
(https://github.com/alibaba-edu/qwen-bailian-usagetraces-anon; seconds), and those that guidellm and vLLM's benchmark
replay (seconds) have the same keys; nothing in them says the unit of the times or the size of the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from blis.workload.convert.hash_blocks import decide_block_tokens
from blis.workload.convert.json_lines import json_lines, number, whole
from blis.workload.convert.options import MOONCAKE_BLOCK_TOKENS, TIME_UNITS
from blis.workload.convert.source import MOST_LENGTH, Rows, Source
from blis.workload.convert.time_units import Form, decide_unit
from blis.workload.requests import MOST_US
from blis.workload.traces.hash_ids import LEAST_ID, MOST_ID, signed

#: What a field may be called; Dynamo's readers accept the second names, too.
TIME = ("timestamp", "created_time")
INPUT = ("input_length", "input_tokens")
OUTPUT = ("output_length", "output_tokens")
HASH_IDS = "hash_ids"
#: Only Qwen-Bailian's traces have these.
BAILIAN = ("chat_id", "parent_chat_id", "turn")
BAILIAN_BLOCK_TOKENS = 16

_MOONCAKE_FORM = Form("ms", "as in Mooncake's traces", sure=False)
_BAILIAN_FORM = Form("s", f"keys {', '.join(BAILIAN)} are those of the Qwen-Bailian traces", sure=True)
_BATCH_ROWS = 1 << 12
#: Times are numbers of some unit, or dates; these are kept as µs.
_NUMBERS, _DATES = "numbers", "dates"
#: In the smallest unit.
_MOST_TIME = MOST_US * 1000


class _Row(NamedTuple):
    place: str
    time: int | float
    prompt: int
    output: int
    ids: Sequence[int]


def read_mooncake(source: Source) -> Iterator[Rows]:
    """Read lengths and hash ids; a missing list of ids is an empty one. The first rows tell units and sizes."""
    reader = _Reader(source)
    batch: list[_Row] = []
    for place, record in json_lines(source):
        row = reader.row(place, record)
        if row is not None:
            batch.append(row)
        if len(batch) == _BATCH_ROWS:
            yield reader.rows(batch)
            batch = []
    if batch:
        yield reader.rows(batch)


class _Reader:
    """Reads rows; knows what was decided about the file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._is_bailian = False
        self._kind = ""
        self._us_per_unit = 1.0
        self._block_tokens = 0

    def row(self, place: str, record: dict[str, Any]) -> _Row | None:
        time, prompt, output = (_value(record, names) for names in (TIME, INPUT, OUTPUT))
        ids = record.get(HASH_IDS, [])
        found = _time(time)
        problem = None
        if found is None:
            problem = f"{TIME[0]}: expected a number or a date, got {time!r}"
            if time is None and "delay" in record:
                problem = f"{TIME[0]}: is missing; a request that waits (delay) has no arrival of its own"
        elif self._kind not in ("", found[0]):
            problem = f"{TIME[0]}: expected {self._kind} as in the rows before, got {time!r}"
        elif not whole(prompt, 0, MOST_LENGTH):
            problem = f"{INPUT[0]}: expected a whole number in [0, {MOST_LENGTH}], got {prompt!r}"
        elif not whole(output, 0, MOST_LENGTH):
            problem = f"{OUTPUT[0]}: expected a whole number in [0, {MOST_LENGTH}], got {output!r}"
        elif not isinstance(ids, list) or not all(whole(one, LEAST_ID, MOST_ID) for one in ids):
            problem = f"{HASH_IDS}: expected a list of 64-bit integers, got {str(ids)[:40]!r}"
        if problem is not None or found is None:
            self._source.bad_row(place, problem or "")
            return None
        self._is_bailian = self._is_bailian or all(name in record for name in BAILIAN)
        self._kind = found[0]
        return _Row(place, found[1], prompt, output, signed(ids))

    def rows(self, batch: list[_Row]) -> Rows:
        import pyarrow as pa

        if not self._block_tokens:
            self._decide(batch)
        good = [row for row in batch if self._is_good(row)]
        columns = {
            "hash_ids": pa.array([row.ids for row in good], pa.list_(pa.int64())),
            "hash_block_tokens": pa.array(np.full(len(good), self._block_tokens, dtype=np.int32)),
        }
        arrival_us = np.array([self._micros(row) for row in good], dtype=np.int64)
        return Rows(arrival_us, _column(good, "prompt"), _column(good, "output"), columns)

    def _decide(self, batch: list[_Row]) -> None:
        if self._kind != _DATES:
            form = _BAILIAN_FORM if self._is_bailian else _MOONCAKE_FORM
            unit = decide_unit(self._source, TIME[0], [row.time for row in batch], form)
            self._us_per_unit = TIME_UNITS[unit]
        elif self._source.options.time_unit is not None:
            raise self._source.error(f"{TIME[0]}: are dates, which have no unit; leave out --time-unit")
        usual = (
            (BAILIAN_BLOCK_TOKENS, "the Qwen-Bailian traces")
            if self._is_bailian
            else (MOONCAKE_BLOCK_TOKENS, "Mooncake's traces")
        )
        num_ids = np.array([len(row.ids) for row in batch])
        lengths = _column(batch, "prompt"), _column(batch, "output"), num_ids
        self._block_tokens = decide_block_tokens(self._source, *lengths, *usual)

    def _is_good(self, row: _Row) -> bool:
        size, total = self._block_tokens, row.prompt + row.output
        problem = None
        if abs(row.time * self._us_per_unit) > MOST_US:
            problem = f"{TIME[0]}: is beyond the clock's end ({MOST_US} µs), got {row.time!r}"
        elif row.prompt and (len(row.ids) - 1) * size >= total:
            problem = f"{HASH_IDS}: {len(row.ids)} ids of {size} tokens are too many for {total} tokens in all"
        if problem is not None:
            self._source.bad_row(row.place, problem)
        return problem is None

    def _micros(self, row: _Row) -> int:
        if isinstance(row.time, int) and self._us_per_unit < 1:
            return row.time // round(1 / self._us_per_unit)  # a double would lose ns since 1970
        return round(row.time * self._us_per_unit)


def _value(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if name in record), None)


def _time(value: Any) -> tuple[str, int | float] | None:
    """What kind of time a value is, and its number; None: it is none."""
    if isinstance(value, str):
        value = _number(value)
        if isinstance(value, str):
            date_us = _date_us(value)
            return None if date_us is None else (_DATES, date_us)
    return (_NUMBERS, value) if number(value) and abs(value) <= _MOST_TIME else None


def _number(text: str) -> int | float | str:
    """The number that a text is, or the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _date_us(text: str) -> int | None:
    """A date with time as µs since 1970; without a time zone it is taken as UTC."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


def _column(batch: list[_Row], name: str) -> Any:
    return np.array([getattr(row, name) for row in batch], dtype=np.int64)
