"""The steps of a run: when each began, how long it took, and the batch that the step-time law was asked about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blis._core.codes import LogRecord, StepLog
from blis.config.schema import EngineConfig
from blis.latency.law import LatencyModel
from blis.simulation.control import Control
from blis.simulation.result import EngineResult
from blis.simulation.run import Run
from blis.workload.content import SharedBlocks
from blis.workload.requests import Ints, RequestTable


@dataclass(frozen=True)
class Steps:
    """All steps of one instance, in their order.

    Attributes:
        start_us: (s,) when each began.
        duration_us: (s,) how long it took, >= 1.
        loads: (s, 7) its batch, as the arguments of `blis.latency.law.StepTimeFunction`.
    """

    start_us: Ints
    duration_us: Ints
    loads: Ints

    @property
    def end_us(self) -> Ints:
        """(s,) when each was over; strictly ascending."""
        return self.start_us + self.duration_us


def run_with_steps(
    table: RequestTable, engine: EngineConfig, latency: LatencyModel, control: Control, blocks: SharedBlocks
) -> tuple[EngineResult, Steps]:
    """Simulate one instance and keep its steps; slower than `blis.simulation.run_engine`, with the same result.

    Raises:
        EngineError: the run failed.
    """
    run = Run(table, engine, latency, control, blocks=blocks, log_steps=StepLog.LOADS)
    run.load()
    run.advance()
    return run.result(), steps_of(run.steps())


def steps_of(log: Ints) -> Steps:
    """The steps in a step log, without those that only preempted."""

    def rows(code: LogRecord) -> Ints:
        return log[log[:, 0] == code, 1:]

    begun = rows(LogRecord.STEP)
    begun = begun[begun[:, 1] > 0]
    loads = [rows(code) for code in (LogRecord.LOAD, LogRecord.PREFILLS, LogRecord.LONGEST_PREFILL)]
    return Steps(begun[:, 0], begun[:, 1], np.concatenate(loads, axis=1)[:, :7])
