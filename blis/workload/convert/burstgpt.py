"""BurstGPT (https://github.com/HPMLL/BurstGPT): when (s), model, lengths and, in newer releases, the session."""

from __future__ import annotations

from collections.abc import Iterator

from blis.workload.convert.csv_columns import Columns, csv_columns
from blis.workload.convert.options import TIME_UNITS, TimeUnit
from blis.workload.convert.source import Rows, Source
from blis.workload.convert.time_units import Form, decide_unit

COLUMNS = ("Timestamp", "Request tokens", "Response tokens")

_FORM = Form("s", "as in BurstGPT", sure=True)
#: So many of the first times show whether that is plausible.
_SAMPLE = 1 << 12
#: Columns that are kept as they are, and what they are called in our traces.
_NAMES = {"Model": "model", "Session ID": "session_id"}


def read_burstgpt(source: Source) -> Iterator[Rows]:
    """Read lengths, models and sessions. Requests that failed have no output."""
    time, prompt, output = COLUMNS
    unit: TimeUnit | None = source.options.time_unit
    for columns in csv_columns(source, (*COLUMNS, *_NAMES), len(COLUMNS)):
        unit = unit or decide_unit(source, time, _seconds(columns), _FORM)
        named = {ours: columns.names(theirs) for theirs, ours in _NAMES.items() if theirs in columns}
        rows = Rows(
            columns.times_us(time, TIME_UNITS[unit]),
            columns.lengths(prompt),
            columns.lengths(output),
            named,
        )
        yield rows.filter(columns.good())


def _seconds(columns: Columns) -> list[float]:
    """The first times, as the file has them."""
    seconds: list[float] = (columns.times_us(COLUMNS[0], TIME_UNITS["s"])[:_SAMPLE] / TIME_UNITS["s"]).tolist()
    return seconds
