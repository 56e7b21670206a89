"""A run whose decisions are recorded: summed up, written to a file, and some of them tried again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blis._core.codes import ViewColumn, ViewNumber
from blis.config.schema import TraceOptions
from blis.outcomes.decisions.comparing import ANSWER, Ints, comparable_scores, is_routing, regrets
from blis.outcomes.decisions.file import TraceFile
from blis.outcomes.decisions.realised import Runner, realised_regret
from blis.outcomes.decisions.rows import DecisionRows
from blis.outcomes.decisions.samples import RegretSamples, Sample
from blis.outcomes.decisions.summary import TraceSummary, realised_figures
from blis.outcomes.outcomes import Outcomes
from blis.simulation import Control, Decisions, Progress
from blis.simulation.interrupts import uninterrupted
from blis.simulation.result import DecisionTrace

if TYPE_CHECKING:
    import pyarrow as pa


def run_traced(
    run: Runner,
    control: Control,
    options: TraceOptions,
    *,
    request_numbers: Ints,
    metadata: Mapping[str, Any],
    progress: Progress | None = None,
) -> Outcomes:
    """Run a simulation, and again for each sample of regret.

    Args:
        run: runs it.
        control: its cluster and policies.
        options: what to record.
        request_numbers: (n,) by which the requests are called.
        metadata: of the run; ``seed`` decides which samples are drawn.
        progress: gets the requests of all runs together.

    Returns:
        Outcomes of the decisions as they were made, with their trace.

    Raises:
        EngineError: the run failed.
    """

    def progress_of(which: int, runs: int) -> Progress | None:
        if progress is None:
            return None
        show = progress
        return lambda finished, total, clock_us: show(which * total + finished, runs * total, clock_us)

    samples = None
    if options.regret_samples:
        samples = RegretSamples(metadata["seed"], len(request_numbers), options.regret_samples)
    with _Recorder(control, options, metadata, samples, request_numbers) as recorder:
        outcomes = run(progress_of(0, 1 + options.regret_samples), decisions=recorder.record)
        realised, interrupted = None, False
        if samples is not None:
            drawn: list[Sample] = [] if outcomes.result.interrupted else samples.drawn()
            realised, interrupted = realised_regret(
                outcomes, drawn, run, lambda position: progress_of(1 + position, 1 + len(drawn))
            )
        try:
            with uninterrupted():
                trace = recorder.finish(realised)
        except KeyboardInterrupt:
            interrupted = True
    return dataclasses.replace(outcomes, trace=dataclasses.replace(trace, interrupted=interrupted))


class _Recorder:
    """Takes decisions as they are made and keeps little of them."""

    def __init__(
        self,
        control: Control,
        options: TraceOptions,
        metadata: Mapping[str, Any],
        samples: RegretSamples | None,
        request_numbers: Ints,
    ) -> None:
        self._ranks = options.counterfactual_k > 0
        self._samples = samples
        self._summary = TraceSummary(control.options.num_instances)
        self._rows = DecisionRows(control, options.counterfactual_k, request_numbers)
        self._file: TraceFile | None = None
        self._file_error: OSError | None = None
        if options.path is not None:
            about = {**metadata, "trace": {"counterfactual_k": options.counterfactual_k}}
            self._file = TraceFile(
                Path(options.path),
                about,
                self._rows.table(_none(control.options.num_instances), None, None),
                self._rows.candidates_per_row,
                awaits_realised=samples is not None,
            )

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._file is not None:
            self._file.discard()

    def record(self, chunk: Decisions) -> None:
        """Take some decisions; nothing of their memory is kept."""
        scores = regret = None
        routing = is_routing(chunk)
        if self._ranks:
            scores = comparable_scores(chunk)
            regret = np.full(len(scores), np.nan)
            regret[routing] = regrets(scores[routing], chunk.decisions[routing, ANSWER])
        self._summary.add(chunk.decisions, regret)
        if self._samples is not None:
            self._samples.add(chunk)
        if self._file is not None:
            with self._giving_up():
                self._file.write(self._rows.table(chunk, scores, regret))

    def finish(self, realised: pa.Table | None) -> DecisionTrace:
        """Complete the file, and say what there was."""
        summary, frame = self._summary.values(), None
        if self._file is not None:
            with self._giving_up():
                self._file.finish(realised)
        if realised is not None:
            import polars as pl

            summary |= realised_figures(realised)
            frame = pl.DataFrame(realised)
        return DecisionTrace(summary, frame, file_error=self._file_error)

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Go on without the file if it can't be written: a full disk must not cost the run."""
        try:
            yield
        except OSError as error:
            self._file_error = error
            if self._file is not None:
                self._file.discard()
            self._file = None


def _none(num_instances: int) -> Decisions:
    columns = np.empty((0, len(ViewColumn), num_instances), np.int64)
    return Decisions(np.empty((0, 4), np.int64), columns, np.empty((0, len(ViewNumber), num_instances)))
