"""When requests are sent: at their times, or some time after the one they wait for; so many at once at most."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from blis.measurement.observe.client import Client
from blis.measurement.observe.clock import Clock
from blis.measurement.observe.conversations import Conversations, Messages
from blis.measurement.observe.sample import Sample
from blis.workload.requests import RequestTable
from blis.workload.traces.tracev2.records import ERROR, OK, STATUSES

#: What a request says, and the body that says so.
_Prepared = tuple[Messages, bytes]

_PROGRESS_S = 0.25
_STOPPED_BY = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_RECENT = 1000


@dataclass(slots=True)
class Progress:
    """How far a measurement is.

    Attributes:
        total: requests of the workload.
        sent: so far.
        finished: whether they got an answer or not.
        failed: those that did not.
        recent_ttft_us: from sending to the first token, of the last 1,000 that got one.
    """

    total: int
    sent: int = 0
    finished: int = 0
    failed: int = 0
    recent_ttft_us: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT))

    @property
    def ttft_p50_ms(self) -> float | None:
        """Median of the recent ones; None: there is none."""
        return median(self.recent_ttft_us) / 1000 if self.recent_ttft_us else None

    def note(self, sample: Sample) -> None:
        """Count a request that is over."""
        self.finished += 1
        self.failed += sample.status != OK
        if len(sample.chunk_us) and sample.status == OK:
            self.recent_ttft_us.append(sample.first_chunk_us - sample.send_us)


class Dispatcher:
    """Sends the requests of a table.

    Args:
        table: the requests.
        conversations: their prompts.
        client: sends them.
        clock: whose beginning is the table's time 0.
        horizon_us: no request is sent later in the table's time; None: there is no such end.
        max_concurrency: most requests in flight.
        done: called with each request that is over.

    Attributes:
        stopped_by: number of the signal that ended it early; None: none did.
    """

    def __init__(
        self,
        table: RequestTable,
        conversations: Conversations,
        client: Client,
        clock: Clock,
        *,
        horizon_us: int | None,
        max_concurrency: int,
        done: Callable[[Sample], None],
    ) -> None:
        self._table, self._conversations, self._client, self._clock = table, conversations, client, clock
        self._last_us = None if horizon_us is None else clock.start_us + horizon_us
        self._slots = asyncio.Semaphore(max_concurrency)
        self._done = done
        self._follower = _followers(table)
        self._running: set[asyncio.Task[None]] = set()
        self.progress = Progress(len(table))
        self.stopped_by: int | None = None

    async def run(self, show: Callable[[Progress], None] | None = None) -> None:
        """Send everything, and wait for the end of it.

        Args:
            show: called four times a second.
        """
        with self._stopped_by_signals():
            ticker = asyncio.create_task(self._tick(show)) if show else None
            try:
                async with asyncio.TaskGroup() as self._tasks:
                    self._start(self._send_all())
            finally:
                if ticker is not None and show is not None:
                    ticker.cancel()
                    show(self.progress)

    def stop(self, signal_number: int) -> None:
        """Send nothing more; what is in flight ends as interrupted."""
        self.stopped_by = signal_number
        for task in tuple(self._running):
            task.cancel()

    def _start(self, work: Any) -> None:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _tick(self, show: Callable[[Progress], None]) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_S)
            show(self.progress)

    async def _send_all(self) -> None:
        """Start all requests that wait for no other one."""
        arrival_us = self._table.arrival_us
        rows = np.arange(len(self._table))
        if self._table.sessions is not None:
            rows = rows[self._table.sessions.after < 0]
        for row in rows[np.argsort(arrival_us[rows], kind="stable")].tolist():
            due_us = self._clock.start_us + int(arrival_us[row])
            if self._is_late(due_us):
                return
            # made before it is due, unless it has to wait anyway or may contain an answer that is still to come
            is_ready = self._conversations.before[row] < 0 and not self._slots.locked()
            prepared = self._prepare(row) if is_ready else None
            await self._clock.sleep_until(due_us)
            self._start(self._serve(row, due_us, prepared))

    async def _follow(self, row: int, due_us: int) -> None:
        prepared = self._prepare(row)
        await self._clock.sleep_until(due_us)
        await self._serve(row, due_us, prepared)

    def _prepare(self, row: int) -> _Prepared:
        messages = self._conversations.messages(row)
        return messages, self._client.body(messages, int(self._table.output_tokens[row]))

    async def _serve(self, row: int, due_us: int, prepared: _Prepared | None) -> None:
        sample = Sample(row, due_us)
        began_us = self._clock.now_us()
        async with self._slots:
            sample.slot_wait_us = self._clock.now_us() - began_us
            messages, body = prepared or self._prepare(row)
            self.progress.sent += 1
            answer = await self._client.send(sample, body)
        if sample.status == OK:
            self._conversations.answered(row, messages, answer)
        self._note(sample)
        if self.stopped_by is None:
            self._start_follower(sample)

    def _note(self, sample: Sample) -> None:
        self.progress.note(sample)
        self._done(sample)

    def _start_follower(self, sample: Sample) -> None:
        """Send who waited for a request; after one that failed not the rest of its session, but the user's next one."""
        sessions = self._table.sessions
        row = int(self._follower[sample.row])
        if row < 0 or sessions is None:
            return
        due_us = sample.last_chunk_us if sample.status == OK else self._clock.now_us()
        while row >= 0:
            due_us += max(int(sessions.think_us[row]), 1)
            if self._is_late(due_us):
                return
            if sample.status == OK or sessions.turn[row] == 0:
                self._start(self._follow(row, due_us))
                return
            cause = f"request_{self._table.numbers[sample.row]} of its session ended with {STATUSES[sample.status]}"
            self._note(Sample(row, due_us, status=ERROR, error=f"not sent: {cause}"))
            row = int(self._follower[row])

    def _is_late(self, due_us: int) -> bool:
        return self._last_us is not None and due_us > self._last_us

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _STOPPED_BY}
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread, or not Unix
            for number in before:
                loop.add_signal_handler(number, self.stop, number)
        try:
            yield
        finally:
            with suppress(NotImplementedError):
                for number, handler in before.items():
                    if loop.remove_signal_handler(number):
                        signal.signal(number, handler)


def _followers(table: RequestTable) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(n,) the row that waits for each request, or -1."""
    follower = np.full(len(table), -1)
    if table.sessions is not None:
        rows = np.flatnonzero(table.sessions.after >= 0)
        follower[table.sessions.after[rows]] = rows
    return follower
