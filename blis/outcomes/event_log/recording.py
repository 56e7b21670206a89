"""`EventLog`: keeps what only the engine knows while a run goes on, and writes it with the stamps of all requests."""

from __future__ import annotations

import tempfile
import weakref
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from blis._core.codes import LogRecord, StepLog
from blis.files.output import replacing
from blis.files.shown import counted, summed_up
from blis.outcomes.event_log.lines import Event, event_lines
from blis.outcomes.outcomes import Outcomes
from blis.workload.requests import Ints

#: What is recorded stays in memory up to this size, then goes to disk.
_MOST_BYTES = 1 << 24
#: Rows of an instance that are read at a time.
_ROWS = 1 << 10
#: Of a row, as `event_lines` takes them.
_COLUMNS = 7


class EventLog:
    """The events of one run, each a line: arrivals, decisions, first and last tokens, preemptions (docs/event-logs.md).

    Give it to `blis.simulate` or `blis.Simulation.run` as ``events``, then `write` the file. Outcomes are the same as
    without it.

    Args:
        steps: also a line for each step; the run is slower then, since the engine takes each step by itself.
        scratch_folder: where large logs are kept until they are written; None: where the system has such files.
    """

    def __init__(self, *, steps: bool = False, scratch_folder: Path | None = None) -> None:
        #: What the engine has to record.
        self.level = StepLog.LOADS if steps else StepLog.REQUESTS
        folder = None if scratch_folder is None else str(scratch_folder)
        self._file = tempfile.SpooledTemporaryFile(_MOST_BYTES, dir=folder)  # noqa: SIM115  # closed below
        weakref.finalize(self, self._file.close)
        self._error: OSError | None = None
        self._end = 0
        self._chunks: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._open: dict[int, Ints] = {}

    def __repr__(self) -> str:
        steps = "with steps" if self.level == StepLog.LOADS else "without steps"
        return summed_up(self, f"{steps}, {counted(self._end, 'byte')} recorded")

    def record(self, instance: int, log: Ints) -> None:
        """Take over the next rows of an instance's step log (`blis._core.codes.LogRecord`)."""
        rows = self._rows(log)
        if instance in self._open:
            rows = np.concatenate([self._open.pop(instance), rows])
        if len(rows) == 0:
            return
        rows = rows[np.lexsort((rows[:, 2], rows[:, 0], rows[:, 1]))]
        is_last = rows[:, 1] == rows[-1, 1]  # more may come of that moment
        self._open[instance] = rows[is_last]
        self._keep(instance, rows[~is_last])

    def lines(self, outcomes: Outcomes) -> Iterator[str]:
        """The lines, by clock, kind of event (`Event`), then request or instance.

        Args:
            outcomes: of the run that was recorded.

        Raises:
            OSError: there was no room for what was recorded.
        """
        for instance in list(self._open):
            self._keep(instance, self._open.pop(instance))
        if self._error is not None:
            raise self._error
        return event_lines(outcomes, [self._read(instance) for instance in sorted(self._chunks)])

    def write(self, outcomes: Outcomes, path: str | Path) -> None:
        """Write the lines.

        Args:
            outcomes: of the run that was recorded.
            path: replaced when everything is written.

        Raises:
            OSError: it could not be written.
        """
        with replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self.lines(outcomes))

    def _rows(self, log: Ints) -> Ints:
        preempted = log[log[:, 0] == LogRecord.PREEMPTED]
        steps = np.empty(0, np.int64)
        if self.level > StepLog.REQUESTS:
            steps = np.flatnonzero((log[:, 0] == LogRecord.STEP) & (log[:, 2] > 0))
        rows = np.full((len(preempted) + len(steps), _COLUMNS), -1, np.int64)
        of_requests, of_steps = rows[: len(preempted)], rows[len(preempted) :]
        of_requests[:, 0] = Event.PREEMPTED
        of_requests[:, [1, 2]] = preempted[:, [2, 1]]
        of_steps[:, 0] = Event.STEP
        of_steps[:, [1, 3, 6]] = log[steps, 1:]
        prefill_tokens, decodes = log[steps + 1, 1], log[steps + 1, 2]  # LOAD follows STEP, then PREFILLS
        of_steps[:, 4] = decodes + log[steps + 2, 3]
        of_steps[:, 5] = decodes + prefill_tokens
        return rows

    def _keep(self, instance: int, rows: Ints) -> None:
        if len(rows) == 0 or self._error is not None:
            return
        try:
            self._file.write(rows.tobytes())
        except OSError as error:  # a full disk must not cost the run
            self._error = error
            return
        self._chunks[instance].append((self._end, len(rows)))
        self._end += rows.nbytes

    def _read(self, instance: int) -> Iterator[tuple[int, Ints]]:
        for start, count in self._chunks[instance]:
            for first in range(0, count, _ROWS):
                rows = min(_ROWS, count - first)
                self._file.seek(start + 8 * _COLUMNS * first)
                data = self._file.read(8 * _COLUMNS * rows)
                yield instance, np.frombuffer(data, np.int64).reshape(rows, _COLUMNS)
