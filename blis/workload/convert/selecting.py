"""From the rows of a file to the requests of a trace: which are taken, and when they arrive."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from blis.errors import InputError
from blis.workload.convert.formats import reader, recognise
from blis.workload.convert.options import WITH_SEVERAL, WITHOUT_UNIT, Selection
from blis.workload.convert.source import Rows, Source
from blis.workload.requests import MOST_US, Ints
from blis.workload.rng import stream
from blis.workload.traces.parquet import MEASURED

Result = TypeVar("Result")


@dataclass
class Counts:
    """What became of the rows that were read.

    Attributes:
        taken: requests of the trace.
        without_prompt: left out, because they have no prompt token.
        not_selected: left out, because they arrive too early or too late.
        bad: left out, because they make no sense.
        failed: left out, because the file says that they failed.
        unanswered: conversations left out, because nobody answers in them.
        without_output: among those taken, requests without an output token.
        assumed: what was taken for granted about the file, and why.
        doubts: what speaks against that, or against what was asked for.
    """

    taken: int = 0
    without_prompt: int = 0
    not_selected: int = 0
    bad: int = 0
    failed: int = 0
    unanswered: int = 0
    without_output: int = 0
    assumed: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def note(self, source: Source) -> None:
        """Take over what the reading of a file has noted so far."""
        self.bad, self.failed, self.unanswered = source.num_bad, source.num_failed, source.num_unanswered
        self.assumed, self.doubts = list(source.assumed), list(source.doubts)

    def values(self) -> dict[str, Any]:
        """The same as plain JSON values: what is left out by the reason, and what is there."""
        reasons = ("without_prompt", "not_selected", "unanswered", "bad", "failed")
        return {
            "requests": self.taken,
            "left_out": {reason: getattr(self, reason) for reason in reasons},
            "without_output": self.without_output,
            "assumed": self.assumed,
            "doubts": self.doubts,
        }


def without_durations(rows: Rows) -> Rows:
    """The same without what was measured: under another load that means nothing."""
    return replace(rows, columns={name: column for name, column in rows.columns.items() if name not in MEASURED})


class _EarlierArrivalError(Exception):
    """A request arrives before the first one of the file, from which arrivals were counted."""


class Requests:
    """The requests of a file that a selection takes.

    Args:
        source: the file.
        format_name: its format; None: by its looks.
        selection: what is taken.
        need_arrivals: whether a file without arrivals is refused if the selection gives no rate.

    Attributes:
        format_name: the format.
        counts: what became of the rows that were read, complete after `feed`.

    Raises:
        InputError: the file's format is unknown.
    """

    def __init__(
        self, source: Source, format_name: str | None, selection: Selection, *, need_arrivals: bool = True
    ) -> None:
        named = source.options.columns is not None
        self.format_name = format_name or ("columns" if named else recognise(source.path))
        if named and self.format_name != "columns":
            raise InputError(f"columns: {self.format_name} has columns of its own; only columns takes some")
        self.counts = Counts()
        self._read = reader(self.format_name)
        if source.options.time_unit is not None and self.format_name not in WITHOUT_UNIT:
            formats = ", ".join(WITHOUT_UNIT)
            raise InputError(f"time_unit: {self.format_name} has times of a known unit; only {formats} take one")
        if source.options.pick is not None and self.format_name not in WITH_SEVERAL:
            formats = ", ".join(WITH_SEVERAL)
            raise InputError(f"pick: a file of {self.format_name} holds one result; only {formats} may hold several")
        self._source = source
        self._selection = selection
        self._need_arrivals = need_arrivals
        self._origin_us: int | None = 0 if selection.keep_clock else None

    def feed(self, use: Callable[[Iterator[Rows]], Result]) -> Result:
        """Hand the requests to a function: rows with their arrivals in the trace, prompts of one token at least.

        Arrivals count from the first request that may be taken. If a later one turns out to arrive earlier, the
        earliest arrival is looked for in all of them, and the function is called again.

        Raises:
            WorkloadError: the file is wrong.
            InputError: it has no arrivals and no rate is given, or both.
        """
        try:
            return use(self._pieces())
        except _EarlierArrivalError:
            found = (rows.arrival_us for rows in self._candidates() if rows.arrival_us is not None and len(rows))
            self._origin_us = min(int(arrival_us.min()) for arrival_us in found)
            return use(self._pieces())

    def _candidates(self) -> Iterator[Rows]:
        """Rows with a prompt, as many as may be taken: all if a time is asked for, outside of which some may be."""
        chosen = self._selection
        is_cut = chosen.start_s > 0 or chosen.end_s is not None
        left = None if is_cut else chosen.limit
        for rows in self._rows():
            has_prompt = rows.input_tokens > 0
            self.counts.without_prompt += int((~has_prompt).sum())
            rows = rows.filter(has_prompt)
            if left is not None:
                rows = rows.filter(np.arange(len(rows)) < left)
                left -= len(rows)
            yield rows
            if left == 0:
                return

    def _rows(self) -> Iterator[Rows]:
        source = self._source
        source.begin()
        try:
            for rows in self._read(source):
                self.counts.note(source)
                yield rows
        except OSError as error:
            raise source.error(f"cannot be read: {error.strerror or error}") from None
        self.counts.note(source)

    def _pieces(self) -> Iterator[Rows]:
        counts = self.counts = Counts()
        selection, limit = self._selection, self._selection.limit
        drawn_us = self._drawn_arrivals()
        for rows in self._candidates():
            timed = self._timed(rows, drawn_us)
            if selection.scale_rate != 1 or timed.arrival_us is None or drawn_us is not None:
                timed = without_durations(timed)
            if limit is not None and counts.taken + len(timed) > limit:
                timed = timed.filter(np.arange(len(timed)) < limit - counts.taken)
            counts.taken += len(timed)
            counts.without_output += int((timed.output_tokens == 0).sum())
            if len(timed):
                yield timed
            if counts.taken == limit:
                return

    def _timed(self, rows: Rows, drawn_us: Generator[Ints, int, None] | None) -> Rows:
        """Rows that arrive when they should, with their final arrivals."""
        if rows.arrival_us is not None and drawn_us is not None:
            raise InputError(f"rate: {self._source.path} has arrivals of its own; scale_rate changes their rate")
        rows = replace(rows, arrival_us=self._since_origin(rows.arrival_us))
        if drawn_us is not None:
            rows = replace(rows, arrival_us=drawn_us.send(len(rows)))
        if rows.arrival_us is None:
            if self._need_arrivals:
                raise InputError(f"rate: {self._source.path} has no arrivals; give requests per second to draw some")
            return rows
        return self._windowed(rows, rows.arrival_us)

    def _since_origin(self, arrival_us: Ints | None) -> Ints | None:
        if arrival_us is None or not len(arrival_us):
            return arrival_us
        if self._origin_us is None:
            self._origin_us = int(arrival_us[0])
        since = arrival_us - self._origin_us
        if since.min() < 0:
            if self._selection.keep_clock:
                raise self._source.error(f"arrivals of the file's own clock must be >= 0, got {since.min()} µs")
            raise _EarlierArrivalError
        return since

    def _windowed(self, rows: Rows, arrival_us: Ints) -> Rows:
        chosen = self._selection
        start_us = round(chosen.start_s * 1e6)
        keep = arrival_us >= start_us
        if chosen.end_s is not None:
            keep &= arrival_us < round(chosen.end_s * 1e6)
        self.counts.not_selected += int((~keep).sum())
        if not chosen.keep_clock:
            arrival_us = arrival_us - start_us
        scaled = arrival_us if chosen.scale_rate == 1 else np.rint(arrival_us / chosen.scale_rate)
        if scaled[keep].max(initial=0) > MOST_US:
            raise InputError(f"scale_rate: {chosen.scale_rate:g} puts arrivals beyond the clock's end ({MOST_US} µs)")
        return replace(rows, arrival_us=np.where(keep, scaled, 0).astype(np.int64)).filter(keep)

    def _drawn_arrivals(self) -> Generator[Ints, int, None] | None:
        if self._selection.rate is None:
            return None
        drawn = _poisson_us(self._selection.rate, stream(self._selection.seed, "arrivals"))
        next(drawn)
        return drawn


def _poisson_us(rate: float, rng: np.random.Generator) -> Generator[Ints, int, None]:
    """Arrivals of a Poisson process, as many at a time as are sent for; the first comes after a gap."""
    now_us, times_us = 0.0, np.empty(0)
    while True:
        count = yield np.rint(times_us).astype(np.int64)
        times_us = now_us + np.cumsum(rng.standard_exponential(count)) * (1e6 / rate)
        now_us = float(times_us[-1]) if count else now_us
        if now_us > MOST_US:
            raise InputError(f"rate: {rate:g} requests per second puts arrivals beyond the clock's end ({MOST_US} µs)")
