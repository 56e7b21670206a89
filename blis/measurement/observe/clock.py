"""One clock for all times of a measurement."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Microseconds since 1970: the wall clock is read once, everything else is counted from there.

    So intervals are right even if the wall clock is set meanwhile.
    """

    def __init__(self) -> None:
        self._counter_ns = time.perf_counter_ns()
        self.start_us = time.time_ns() // 1000

    def now_us(self) -> int:
        """The present time."""
        return self.start_us + (time.perf_counter_ns() - self._counter_ns) // 1000

    async def sleep_until(self, due_us: int) -> None:
        """Wait until a time, and let others run meanwhile; never returns before it."""
        while (left_us := due_us - self.now_us()) > 0:
            await asyncio.sleep(left_us / 1e6)
