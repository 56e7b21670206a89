"""`Timeline`: keeps the steps of a window of a run while it goes on, and writes them with the requests around them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from blis._core.codes import LogRecord
from blis.errors import ConfigError
from blis.files.shown import counted, summed_up
from blis.outcomes.outcomes import Outcomes
from blis.outcomes.timeline.events import Window, write_events
from blis.workload.requests import Ints

#: What a timeline holds at most: then its file stays below some 50 MB, and viewers stay quick.
MOST_STEPS, MOST_REQUESTS = 50_000, 25_000

#: Columns of `Timeline.steps`.
STEP_COLUMNS = (
    *("instance", "start_us", "duration_us", "prefill_tokens", "num_decodes", "num_prefills"),
    *("free_blocks", "end_free_blocks", "waiting"),
)
_MAX_US = 2**62


class Timeline:
    """The steps that began in a window of a run.

    Give it to `blis.simulate` or `blis.Simulation.run` as ``timeline``, then `write` the file. Outcomes are the same
    as without it; the run is slower, since the engine then takes each step by itself.

    Args:
        window_s: from when to when, in seconds of simulated time.

    Raises:
        ConfigError: the window is empty or begins before 0.
    """

    def __init__(self, window_s: tuple[float, float] = (0.0, math.inf)) -> None:
        start_s, end_s = window_s
        if not 0 <= start_s < end_s:
            raise ConfigError(f"window_s: must have 0 <= start < end, got {start_s:g} to {end_s:g}")
        self._start_us, self._asked_us = (int(min(value * 1e6, _MAX_US)) for value in window_s)
        self._end_us = self._asked_us
        self._kept: list[Ints] = []
        self._open: dict[int, Ints] = {}

    def __repr__(self) -> str:
        start, end = self._start_us / 1e6, math.inf if self._asked_us >= _MAX_US else self._asked_us / 1e6
        steps = sum(map(len, self._kept))
        return summed_up(self, f"{counted(steps, 'step')} kept, from {start:g} to {end:g} s")

    def record(self, instance: int, log: Ints) -> None:
        """Take over the next rows of an instance's step log (`blis._core.codes.LogRecord`)."""
        if instance in self._open:
            log = np.concatenate([self._open.pop(instance), log])
        begun, ended = (np.flatnonzero(log[:, 0] == code) for code in (LogRecord.STEP, LogRecord.END))
        if len(begun) > len(ended):  # ends come in the order of steps, perhaps after others have begun
            still_open = begun[len(ended)]
            self._open[instance] = log[still_open:][log[still_open:, 0] != LogRecord.END]
            log = np.concatenate([log[:still_open], log[ended[ended > still_open]]])
        self._keep(instance, log)

    def steps(self) -> Ints:
        """(s, 9) the steps kept, by their start, then instance: `STEP_COLUMNS`; -1 what is not known of a cut one."""
        for instance in sorted(self._open):
            self._keep(instance, self._open.pop(instance))
        self._prune()
        return self._kept[0] if self._kept else np.empty((0, len(STEP_COLUMNS)), np.int64)

    def write(self, outcomes: Outcomes, path: str | Path) -> list[str]:
        """Write steps, the requests that were there at that time, and counters as a Chrome trace (docs/timeline.md).

        Args:
            outcomes: of the run that was recorded.
            path: replaced when everything is written.

        Returns:
            What was left out to keep the file small, one sentence each.

        Raises:
            OSError: it could not be written.
        """
        steps = self.steps()
        notes = []
        if self._end_us < self._asked_us:
            notes.append(f"the timeline ends at {self._end_us / 1e6:.3f} s, after {len(steps):,} steps")
        window = Window(self._start_us, self._end_us, MOST_REQUESTS)
        notes += write_events(outcomes, steps, window, Path(path), notes)
        return notes

    def _keep(self, instance: int, log: Ints) -> None:
        found = _steps(instance, log)
        start_us = found[:, 1]
        found = found[(start_us >= self._start_us) & (start_us < self._end_us)]
        if len(found):
            self._kept.append(found)
            if sum(map(len, self._kept)) > 4 * MOST_STEPS:
                self._prune()

    def _prune(self) -> None:
        """Leave the first steps; the window then ends where the first of the others begins."""
        if not self._kept:
            return
        steps = np.concatenate(self._kept)
        steps = steps[np.lexsort((steps[:, 0], steps[:, 1]))]
        if len(steps) > MOST_STEPS:
            self._end_us = int(steps[MOST_STEPS, 1])
            steps = steps[steps[:, 1] < self._end_us]
        self._kept = [steps]


def _steps(instance: int, log: Ints) -> Ints:
    """The steps of some rows of the log that begin with one, without those that only preempted."""
    is_step = log[:, 0] == LogRecord.STEP
    step_of = np.cumsum(is_step) - 1
    found = np.full((int(is_step.sum()), len(STEP_COLUMNS)), -1, np.int64)
    found[:, 0] = instance
    found[:, [1, 2, 6]] = log[is_step, 1:]

    def fill(code: LogRecord, columns: list[int], values: list[int]) -> None:
        rows = log[:, 0] == code
        found[step_of[rows][:, None], columns] = log[rows][:, values]

    fill(LogRecord.LOAD, [3, 4], [1, 2])
    fill(LogRecord.PREFILLS, [5], [3])
    ends = log[log[:, 0] == LogRecord.END]
    found[: len(ends), [7, 8]] = ends[:, [1, 3]]
    return found[found[:, 2] > 0]
