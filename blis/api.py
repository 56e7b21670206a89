"""The Python face: describe a deployment and a workload, get outcomes. The command line goes the same way."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blis import __version__
from blis._core.codes import NONE, RequestStatus, StepLog
from blis.config.schema import ClusterOptions, Deployment, EngineOptions, TraceOptions
from blis.errors import ConfigError, WorkloadError
from blis.files.output import check_output
from blis.files.shown import counted, summed_up
from blis.outcomes.outcomes import Outcomes
from blis.workload.distribution import DistributionWorkload
from blis.workload.requests import RequestTable
from blis.workload.traces.loading import TraceFile
from blis.workload.window import from_zero, listed
from blis.workload.workload import Frame, Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from blis.config.resolve import Resolved
    from blis.outcomes.event_log.recording import EventLog
    from blis.outcomes.timeline.recording import Timeline
    from blis.simulation import Control, DecisionSink, Progress, StepSink
    from blis.workload.arrivals import ArrivalProcess
    from blis.workload.content import SharedBlocks

_USUAL_SEED = 42

#: The clock is a signed 64-bit integer.
_MAX_CLOCK_US = 2**63 - 1

_REFUSED = (RequestStatus.REFUSED_TOO_LONG, RequestStatus.REFUSED_NEVER_FITS)

_log = logging.getLogger("blis")


@dataclass(frozen=True, eq=False, repr=False)
class Simulation:
    """Everything about a run is decided, nothing has run yet.

    Attributes:
        resolved: what the engine gets, and what was chosen for the user.
        control: how many instances there are, and their policies.
        table: the requests.
        horizon_us: end of the simulated time; None: until everything is finished.
        metadata: what goes with the outcomes.
        trace: what to record of the decisions; None: nothing.
        blocks: the KV blocks that requests share, if that is known from an earlier run.
    """

    resolved: Resolved
    control: Control
    table: RequestTable
    horizon_us: int | None
    metadata: Mapping[str, Any]
    trace: TraceOptions | None = None
    blocks: SharedBlocks | None = None

    def __repr__(self) -> str:
        resolved = self.resolved
        gpu = " ".join(str(part) for part in (resolved.hardware, resolved.tp and f"TP {resolved.tp}") if part)
        on = f"{counted(self.control.options.num_instances, 'instance')} of {resolved.model}"
        return summed_up(self, ", ".join(filter(None, [on, gpu, resolved.latency.name, self.table.headline])))

    def run(
        self, progress: Progress | None = None, *, timeline: Timeline | None = None, events: EventLog | None = None
    ) -> Outcomes:
        """Run the engine.

        ``progress`` is called now and then with requests finished, requests in all (of all runs, if samples of regret
        are asked for), and the simulated clock in µs. Ctrl-C ends the run early: the outcomes are partial and say so
        (``outcomes.result.interrupted``); so do those of a run that was over when samples of regret were not
        (``outcomes.trace.interrupted``). A trace file that cannot be written does not end it
        (``outcomes.trace.file_error``). ``timeline`` gets the steps; the run is slower then.
        ``events`` gets what an event log needs; with steps the run is slower, too.

        Raises:
            EngineError: the run failed.
        """
        from blis.outcomes.metrics.window import window_notes

        recorders = [recorder for recorder in (timeline, events) if recorder is not None]

        def record(instance: int, log: NDArray[np.int64]) -> None:
            for recorder in recorders:
                recorder.record(instance, log)

        steps = record if recorders else None
        log_steps = events.level if events is not None and timeline is None else StepLog.LOADS
        if self.trace is None:
            outcomes = self._run(progress, steps=steps, log_steps=log_steps)
        else:
            from blis.outcomes.decisions.tracer import run_traced

            numbers, about = self.table.numbers, self.metadata
            run = functools.partial(self._run, steps=steps, log_steps=log_steps)
            outcomes = run_traced(
                run, self.control, self.trace, request_numbers=numbers, metadata=about, progress=progress
            )
        for note in window_notes(outcomes):
            _log.warning("%s", note)
        refused = int(np.isin(outcomes.result.status, _REFUSED).sum())
        if refused:
            _log.warning(
                "%d of %d requests were refused; status and reason are in the results", refused, len(self.table)
            )
        return outcomes

    def write_trace(self, outcomes: Outcomes, prefix: str | Path, *, created_at: str | None = None) -> None:
        """Write what happened as a TraceV2, ``PREFIX.yaml`` and ``PREFIX.csv``; its replay gives the same outcomes.

        Token content and further figures that have no place there go to ``PREFIX.content.parquet``.

        Args:
            outcomes: of this simulation.
            prefix: path of the files, without their suffixes.
            created_at: when, as text; None: don't say.
        """
        from blis.outcomes.decisions.exported import write_run

        write_run(outcomes, self.table, Path(prefix), self.horizon_us, created_at)

    def _run(
        self,
        progress: Progress | None,
        *,
        decisions: DecisionSink | None = None,
        forced: tuple[int, int] = (NONE, NONE),
        steps: StepSink | None = None,
        log_steps: StepLog = StepLog.LOADS,
    ) -> Outcomes:
        from blis.simulation import run_engine

        resolved = self.resolved
        result = run_engine(
            self.table,
            resolved.engine,
            resolved.latency,
            self.control,
            horizon_us=self.horizon_us,
            progress=progress,
            decisions=decisions,
            forced=forced,
            blocks=self.blocks,
            steps=steps if forced == (NONE, NONE) else None,  # samples of regret are other runs
            log_steps=log_steps,
        )
        return Outcomes.of(self.table, result, resolved.latency, self.metadata)


def simulate(
    deployment: Deployment | str,
    workload: Workload | Frame | str | Path,
    *,
    engine: EngineOptions | None = None,
    cluster: ClusterOptions | None = None,
    horizon_us: int | None = None,
    seed: int | None = None,
    trace: TraceOptions | None = None,
    progress: Progress | None = None,
    timeline: Timeline | None = None,
    events: EventLog | None = None,
) -> Outcomes:
    """Simulate vLLM instances under a workload.

    Args:
        deployment: what runs on which hardware; a model id alone takes that model's defaults.
        workload: a distribution or spec to draw from, the requests themselves, a TraceV2, the path of another trace,
            a data frame of polars, pandas or pyarrow (`blis.FrameWorkload`), or anything else that is a
            `blis.Workload`.
        engine: vLLM server parameters.
        cluster: how many instances, and their admission and routing; one instance if not given.
        horizon_us: end of the simulated time; None: that of a workload spec or of the simulation that wrote a TraceV2,
            or until everything is finished.
        seed: of all draws; the same seed gives the same outcomes. None: that of a workload spec, or 42.
        trace: records the decisions about requests (``outcomes.trace``); None: nobody looks at them.
        progress: called now and then (`Simulation.run`).
        timeline: gets the steps; the run is slower then.
        events: gets what happens, for a log.

    Raises:
        InputError: something asked for is wrong; the message says what would be valid.
        EngineError: the run failed.
    """
    simulation = prepare(
        deployment, workload, engine=engine, cluster=cluster, horizon_us=horizon_us, seed=seed, trace=trace
    )
    outcomes = simulation.run(progress, timeline=timeline, events=events)
    if outcomes.trace is not None and outcomes.trace.file_error is not None:
        error = outcomes.trace.file_error
        _log.warning("%s: %s; there is no file of the decisions", error.filename, error.strerror)
    return outcomes


def prepare(
    deployment: Deployment | str,
    workload: Workload | Frame | str | Path,
    *,
    engine: EngineOptions | None = None,
    cluster: ClusterOptions | None = None,
    horizon_us: int | None = None,
    seed: int | None = None,
    trace: TraceOptions | None = None,
) -> Simulation:
    """Decide everything and load the requests, without running; the arguments are those of `simulate`."""
    from blis.config.resolve import resolve
    from blis.simulation.control import control_of

    check_horizon(horizon_us)
    workload = as_workload(workload)
    if isinstance(deployment, str):
        deployment = Deployment(deployment)
    cluster = cluster or ClusterOptions()
    if trace is not None:
        _check_trace(trace, cluster)
    resolved = resolve(deployment, engine or EngineOptions())
    control = control_of(cluster, resolved.engine)
    for note in resolved.notes:
        _log.log(logging.WARNING if note.level == "warning" else logging.INFO, "%s", note.text)
    seed = seed_of(workload, seed)
    table, horizon_us = load_requests(workload, seed, horizon_us)
    _log.info("requests: %d", len(table))
    if resolved.engine.max_model_len is None and resolved.context_length is not None:
        _warn_of_long_requests(table, resolved.context_length)
    metadata = describe_run(resolved, cluster, workload, seed, horizon_us)
    if table.origin_us:
        metadata["origin_us"] = table.origin_us
    return Simulation(resolved, control, table, horizon_us, metadata, trace)


def describe_run(
    resolved: Resolved, cluster: ClusterOptions, workload: Workload, seed: int, horizon_us: int | None
) -> dict[str, Any]:
    """Version, seed, resolved configuration and inputs of a run, as plain JSON values."""
    return {
        "blis_version": __version__,
        "seed": seed,
        "horizon_us": horizon_us,
        "workload": workload.describe(),
        "cluster": dataclasses.asdict(cluster),
        **resolved.describe(),
    }


def check_horizon(horizon_us: int | None) -> None:
    """Refuse an end of simulated time that the clock cannot show."""
    if horizon_us is not None and not 0 <= horizon_us <= _MAX_CLOCK_US:
        raise ConfigError(f"horizon_us: must lie in [0, {_MAX_CLOCK_US}], got {horizon_us}")


def as_workload(workload: Workload | Frame | str | Path) -> Workload:
    """What simulates may be given the path of a trace or a data frame, too.

    Raises:
        WorkloadError: it is neither, nor a workload; or the frame is wrong.
    """
    if isinstance(workload, str | Path):
        return TraceFile(Path(workload))
    if isinstance(workload, Frame):
        from blis.workload.frames import FrameWorkload

        return FrameWorkload(workload)
    _check_workload(workload)
    return workload


def _check_workload(workload: object) -> None:
    if isinstance(workload, Workload):
        return
    kind = f"{type(workload).__module__}.{type(workload).__qualname__}"
    hint = "; collect it first" if hasattr(workload, "collect") else ""
    raise WorkloadError(f"workload: expected a blis.Workload, a data frame or the path of a trace, got {kind}{hint}")


def seed_of(workload: Workload, seed: int | None) -> int:
    """The seed that is used: the one that is given, else that of the workload, else 42."""
    seed = workload.seed if seed is None else seed
    return _USUAL_SEED if seed is None else seed


def load_requests(workload: Workload, seed: int, horizon_us: int | None) -> tuple[RequestTable, int | None]:
    """Draw or read what arrives; also says when the run ends, if only the workload does.

    Raises:
        InputError: the workload makes no sense, or a file of it cannot be read.
    """
    table = workload.requests(seed, horizon_us)
    table, horizon_us = from_zero(table, table.horizon_us if horizon_us is None else horizon_us)
    if table.origin_us:
        began = np.datetime64(table.origin_us, "us")
        _log.warning("arrivals count from 1970; time 0 of the run is the first of them (%s UTC)", began)
    return listed(table, horizon_us), horizon_us


def _check_trace(trace: TraceOptions, cluster: ClusterOptions) -> None:
    if trace.regret_samples and cluster.num_instances < 2:
        raise ConfigError("regret_samples: needs num_instances of 2 at least, got 1")
    if trace.path is not None:
        check_output(Path(trace.path), parquet=True)


def preset(
    name: str,
    *,
    rate: float = 1.0,
    num_requests: int = 100,
    arrival: ArrivalProcess = "poisson",
    arrival_cv: float | None = None,
    defaults_filepath: Path | None = None,
) -> DistributionWorkload:
    """Look up a preset workload: ``chatbot``, ``summarization``, ``contentgen`` or ``multidoc``.

    Args:
        name: of the preset.
        rate: requests per second.
        num_requests: how many.
        arrival: arrival process.
        arrival_cv: coefficient of variation of ``gamma`` gaps.
        defaults_filepath: a defaults file of the user's own, with other presets.
    """
    from blis.config.defaults import load_defaults

    lengths = load_defaults(defaults_filepath).preset(name)
    figures = {
        f"{part}_tokens{suffix}": getattr(counts, field)
        for part, counts in (("prompt", lengths.prompt_tokens), ("output", lengths.output_tokens))
        for suffix, field in (("", "mean"), ("_stdev", "stdev"), ("_min", "min"), ("_max", "max"))
    }
    return DistributionWorkload(
        rate=rate,
        num_requests=num_requests,
        arrival=arrival,
        arrival_cv=arrival_cv,
        prefix_tokens=lengths.prefix_tokens,
        preset=name,
        **figures,
    )


def _warn_of_long_requests(table: RequestTable, context_length: int) -> None:
    long = int((table.input_tokens + table.output_tokens > context_length).sum())
    if long:
        _log.warning(
            "%d of %d requests have more input + output tokens than the model's context of %s; "
            "max_model_len (--max-model-len) %d enforces it",
            *(long, len(table), f"{context_length:,}", context_length),
        )
