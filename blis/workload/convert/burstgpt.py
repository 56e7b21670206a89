"""BurstGPT (https://github.com/HPMLL/BurstGPT): when (s), model, lengths and, in newer releases, the session."""

from __future__ import annotations

from collections.abc import Iterator

from blis.workload.convert.csv_columns import csv_columns
from blis.workload.convert.options import TIME_UNITS
from blis.workload.convert.source import Rows, Source

COLUMNS = ("Timestamp", "Request tokens", "Response tokens")

#: Columns that are kept as they are, and what they are called in our traces.
_NAMES = {"Model": "model", "Session ID": "session_id"}


def read_burstgpt(source: Source) -> Iterator[Rows]:
    """Read lengths, models and sessions. Requests that failed have no output."""
    for columns in csv_columns(source, (*COLUMNS, *_NAMES), len(COLUMNS)):
        time, prompt, output = COLUMNS
        named = {ours: columns.names(theirs) for theirs, ours in _NAMES.items() if theirs in columns}
        rows = Rows(
            columns.times_us(time, TIME_UNITS[source.options.time_unit or "s"]),
            columns.lengths(prompt),
            columns.lengths(output),
            named,
        )
        yield rows.filter(columns.good())
