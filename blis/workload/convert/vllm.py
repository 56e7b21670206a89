"""Results of ``vllm bench serve --save-result --save-detailed``: one JSON object with a list per figure, or
with ``--append-result`` several.

Lists of numbers are taken out while the file is read; its texts and the latencies of its tokens are never held.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis.workload.convert.json_results import picked_events
from blis.workload.convert.source import MOST_LENGTH, Rows, Source
from blis.workload.requests import MOST_US
from blis.workload.traces.parquet import MEASURED

LENGTHS = ("input_lens", "output_lens")
#: Absent from the results of older versions.
TIMES = "start_times"
ERRORS = "errors"
#: Seconds to the first token, and between the others: one list for each request, of which the sum is kept.
TTFTS, ITLS = "ttfts", "itls"

Floats = NDArray[np.float64]


def read_vllm(source: Source) -> Iterator[Rows]:
    """Read the lengths and, if there are any, the times at which requests were sent and what they took.

    Failed ones are left out.

    Raises:
        WorkloadError: the file is no JSON, or has no lists of lengths, or lists of unequal length.
    """
    lists = _lists(source)
    for name in LENGTHS:
        if not lists[name]:
            raise source.error(f"there is no list {name!r}; vLLM writes it with --save-detailed")
    count = len(lists[LENGTHS[0]])
    for name, values in lists.items():
        if values and len(values) != count:
            raise source.error(f"{name}: expected {count} values as in {LENGTHS[0]}, got {len(values)}")
    columns = {name: np.array(values) for name, values in lists.items()}
    keep = np.full(count, True)
    if lists[ERRORS]:
        keep = columns[ERRORS] == 0
        source.num_failed += int(count - keep.sum())
    for name in LENGTHS:
        _check(source, columns[name], name, 0, MOST_LENGTH, keep)
    prompt, output = (np.where(keep, columns[name], 0).astype(np.int64) for name in LENGTHS)
    arrival = None
    if lists[TIMES]:
        micros = _micros(columns[TIMES])
        _check(source, micros, TIMES, -MOST_US, MOST_US, keep)
        arrival = np.rint(np.where(keep, micros, 0)).astype(np.int64)
    yield Rows(arrival, prompt, output, _durations(source, columns, keep)).filter(keep)


def _durations(source: Source, columns: dict[str, Floats], keep: NDArray[np.bool_]) -> dict[str, Any]:
    """The columns of what was measured, if the file has it."""
    import pyarrow as pa

    if not len(columns[TTFTS]) or not len(columns[ITLS]):
        return {}
    for name in (TTFTS, ITLS):
        _check(source, _micros(columns[name]), name, 0, MOST_US, keep)
    seconds = columns[TTFTS], columns[TTFTS] + columns[ITLS]
    micros = (np.rint(np.where(keep, each, 0) * 1e6).astype(np.int64) for each in seconds)
    return dict(zip(MEASURED, map(pa.array, micros), strict=True))


def _micros(seconds: Floats) -> Floats:
    with np.errstate(over="ignore"):  # what is infinite then is out of bounds anyway
        return seconds * 1e6


def _lists(source: Source) -> dict[str, array[float]]:
    """The lists of figures; what is no number is NaN, and an error is 1 where there is one."""
    lists = {name: array("d") for name in (*LENGTHS, TIMES, ERRORS, TTFTS, ITLS)}
    items = {f"{name}.item": name for name in lists if name != ITLS}
    for prefix, event, value in picked_events(source):
        name = items.get(prefix)
        if name == ERRORS:
            lists[name].append(bool(value))
        elif prefix == f"{ITLS}.item" and event == "start_array":
            lists[ITLS].append(0.0)
        elif prefix == f"{ITLS}.item.item" and lists[ITLS]:
            lists[ITLS][-1] += value if event == "number" else float("nan")
        elif name is not None:
            lists[name].append(value if event == "number" else float("nan"))
    return lists


def _check(source: Source, values: Floats, name: str, least: int, most: int, keep: NDArray[np.bool_]) -> None:
    """Report values that are no numbers within bounds, and take their requests out of ``keep``."""
    good = (values >= least) & (values <= most)
    for row in np.flatnonzero(keep & ~good).tolist():
        keep[row] = False
        source.bad_row(f"{name}[{row}]", f"expected a number in [{least}, {most}], got {values[row]:g}")
