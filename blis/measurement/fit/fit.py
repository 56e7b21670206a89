"""Find the coefficients of a model of step time from measurements, and say what they are worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from blis.api import prepare
from blis.config.hardware import Gpu, load_hardware
from blis.config.resolve import Resolved, resolve
from blis.config.schema import Deployment, EngineOptions
from blis.config.served_model import served_model
from blis.config.versions import host_profile_name
from blis.errors import ConfigError, InputError, nearest
from blis.files.shown import Brief
from blis.latency.law import LatencyModel, step_durations_us
from blis.measurement.fit.degeneracy import Interval, intervals
from blis.measurement.fit.judging import Judgement, amplification, judge, mean_us
from blis.measurement.fit.laws import ALPHA, ROOFLINE_FREE, Coefficient, FreeLaw, blackbox_law, roofline_law
from blis.measurement.fit.measured import Measured, measured_trace
from blis.measurement.fit.regression import Problem, Regression
from blis.measurement.fit.search import Found, search, solved
from blis.measurement.fit.spans import step_spans
from blis.measurement.fit.step_log import FEWEST_STEPS, LOADS, StepLog, read_step_log
from blis.outcomes.metrics.calibration import compare
from blis.report.answer import Shown
from blis.workload.traces.tracev2.tracev2 import TraceV2, read_tracev2

Law = Literal["blackbox", "extended", "roofline"]
LAWS: tuple[Law, ...] = ("blackbox", "extended", "roofline")
_NUM_BETA = {"blackbox": 3, "extended": 5}
#: What a step log must tell for a law.
_NEEDED = {"blackbox": LOADS[:2], "extended": LOADS[:3], "roofline": LOADS}


@dataclass(frozen=True, repr=False)
class FitOptions(Brief):
    """How coefficients are to be found.

    Attributes:
        law: ``blackbox``: three coefficients; ``extended``: five; ``roofline``: fields of a GPU's entry.
        free: fields of the GPU's entry to find; the others stay as they are.
        hold: coefficients that are not to be found, by name, and their values; None: what the search begins with.
        holdout: share of the requests or steps, the last ones, that nothing is learnt from, in [0, 0.9].
    """

    law: Law = "blackbox"
    free: tuple[str, ...] = ROOFLINE_FREE
    hold: Mapping[str, float | None] = field(default_factory=dict)
    holdout: float = 0.3

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise ConfigError(f"law: unknown value {self.law!r}; {nearest(self.law, LAWS)}")
        if not 0 <= self.holdout <= 0.9:
            raise ConfigError(f"holdout: must be a share in [0, 0.9], got {self.holdout}")


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Shown):
    """Coefficients that were found.

    Attributes:
        options: how.
        resolved: the deployment that was measured; of several, the first.
        problem: all coefficients, and which were free.
        found: their values and what goes with them.
        intervals: the free ones with their 95 % intervals.
        judgements: by ``before`` and ``after``, by ``training`` and ``held_out``; before is the model that the
            deployment has without this fit.
        amplification: growth of mean latencies in per cent by one per cent of step time; empty for step logs.
        margin: means (µs) of latencies without this fit, if its step times are too long and too short by as much as
            they are said to be good to, as low and high; empty if that is not known.
        num_measured: requests or steps, by ``training`` and ``held_out``.
        model: the law with these coefficients.
        gpu: the GPU's entry with the fields that were found; None: the law has coefficients of its own.
    """

    options: FitOptions
    resolved: Resolved
    problem: Problem
    found: Found
    intervals: Sequence[Interval]
    judgements: Mapping[str, Mapping[str, Judgement]]
    amplification: Mapping[str, float]
    margin: Mapping[str, tuple[float, float]]
    num_measured: Mapping[str, int]
    model: LatencyModel
    gpu: Gpu | None

    @property
    def doubts(self) -> list[str]:
        """Why the coefficients must not be used elsewhere; empty: they may."""
        return [f"{each.name}: {each.doubt}" for each in self.intervals if each.doubt is not None]


def fit_traces(
    traces: Sequence[TraceV2],
    deployments: Sequence[Deployment],
    *,
    engine: EngineOptions | None = None,
    options: FitOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> Fit:
    """Find coefficients from measured requests, through simulations of their replay.

    Args:
        traces: measured ones; all by the same kind of GPU, and with coefficients of its own by the same model, too.
        deployments: what served each of them.
        engine: vLLM server parameters of all of them.
        options: which coefficients, and how.
        progress: called with the number of rounds done, of `blis.measurement.fit.search.ROUNDS`.

    Raises:
        InputError: a trace or an option is wrong, or too little was measured.
        EngineError: a run failed.
    """
    options = options or FitOptions()
    measured = [_measured(trace, deployment, engine) for trace, deployment in zip(traces, deployments, strict=True)]
    resolved = [each.simulation.resolved for each in measured]
    if options.law != "roofline" and len({(each.model, each.hardware, each.tp) for each in resolved}) > 1:
        raise InputError("trace: coefficients belong to one model, GPU and TP; only roofline takes several")
    step_us = _usual_step_us(measured)
    laws = [
        open_law(options, deployment, each, step_us) for deployment, each in zip(deployments, resolved, strict=True)
    ]
    problem = _problem((*ALPHA, *laws[0].coefficients), options.hold)
    training = [each.rows[: _num_training(len(each.rows), options)] for each in measured]
    held_out = [each.rows[len(rows) :] for each, rows in zip(measured, training, strict=True)]
    found = search(measured, training, laws, problem, progress)
    models = {"before": [each.latency for each in resolved], "after": [_model(law, found) for law in laws]}
    parts = {"training": training, "held_out": held_out}
    judgements = {
        when: {part: judge(measured, rows, of) for part, rows in parts.items() if sum(map(len, rows))}
        for when, of in models.items()
    }
    return Fit(
        options=options,
        resolved=resolved[0],
        problem=problem,
        found=found,
        intervals=intervals(problem, found),
        judgements=judgements,
        amplification=amplification(measured[0], models["after"][0], measured[0].rows),
        margin=_margin(measured[0]),
        num_measured={part: sum(map(len, rows)) for part, rows in parts.items()},
        model=models["after"][0],
        gpu=_gpu(laws[0], found),
    )


def fit_steps(
    path: Path,
    deployment: Deployment,
    *,
    engine: EngineOptions | None = None,
    options: FitOptions | None = None,
) -> Fit:
    """Find coefficients from a log of single steps (`read_step_log`).

    Such a log says nothing of queueing: alpha stays zero.

    Args:
        path: of the log.
        deployment: what was measured.
        engine: its vLLM server parameters.
        options: which coefficients, and how.

    Raises:
        InputError: the log or an option is wrong, or the log does not tell what the law needs.
    """
    options = options or FitOptions()
    log = read_step_log(path)
    unknown = [name for name in _NEEDED[options.law] if name not in log.known]
    if unknown:
        raise InputError(f"{path}: does not tell {unknown[0]}, which the law {options.law} goes by; valid: blackbox")
    resolved = resolve(deployment, engine or EngineOptions())
    law = open_law(options, deployment, resolved, float(np.median(log.duration_us)))
    problem = _problem(
        (*ALPHA, *law.coefficients), dict.fromkeys((one.name for one in ALPHA), 0.0) | dict(options.hold)
    )
    split = _num_training(len(log), options)
    if split < FEWEST_STEPS:
        raise InputError(
            f"holdout: leaves {split} of {len(log)} steps to learn from; at least {FEWEST_STEPS} are needed"
        )
    spans = step_spans(law, log.loads[:split], log.duration_us[:split])
    found = solved(Regression(problem, [spans]), problem.start)
    model = _model(law, found)
    parts = {"training": slice(split), "held_out": slice(split, None)}
    judgements = {
        when: {part: _judge_steps(log, rows, of) for part, rows in parts.items() if len(log.loads[rows])}
        for when, of in (("before", resolved.latency), ("after", model))
    }
    return Fit(
        options=options,
        resolved=resolved,
        problem=problem,
        found=found,
        intervals=intervals(problem, found),
        judgements=judgements,
        amplification={},
        margin={},
        num_measured={part: len(log.loads[rows]) for part, rows in parts.items()},
        model=model,
        gpu=_gpu(law, found),
    )


def open_law(options: FitOptions, deployment: Deployment, resolved: Resolved, step_us: float) -> FreeLaw:
    """The law that is asked for, with what the deployment is made of.

    Args:
        options: which law, and what is free.
        deployment: as asked for.
        resolved: the same, decided.
        step_us: a usual length of a step, to begin with.

    Raises:
        ConfigError: roofline is asked for, and model or GPU are not known well enough.
    """
    if options.law != "roofline":
        return blackbox_law(_NUM_BETA[options.law], step_us)
    model = served_model(deployment)
    missing = [name for name in ("hardware", "tp") if getattr(resolved, name) is None]
    missing += ["model_config_folder"] if model is None else []
    if model is None or resolved.hardware is None or resolved.tp is None:
        raise ConfigError(f"law: roofline needs {', '.join(missing)}")
    gpu = load_hardware(deployment.hardware_config).get(resolved.hardware)
    profile = host_profile_name(resolved.vllm_version)
    element_bytes = model.kv_element_bytes(deployment.kv_cache_dtype)
    return roofline_law(model, gpu, resolved.tp, profile, options.free, kv_element_bytes=element_bytes)


def _measured(trace: TraceV2, deployment: Deployment, engine: EngineOptions | None) -> Measured:
    header, records = read_tracev2(trace)
    return measured_trace(prepare(deployment, trace, engine=engine), header, records)


def _usual_step_us(traces: Sequence[Measured]) -> float:
    """The median time between tokens, where it was seen; else of all of a request, token by token."""
    between = np.concatenate([each.tpot_us[each.rows] for each in traces])
    in_all = np.concatenate([(each.e2e_us / np.maximum(each.table.output_tokens, 1))[each.rows] for each in traces])
    seen = ~np.isnan(between)
    return float(np.median(between[seen] if seen.any() else in_all)) if len(in_all) else 1.0


def _num_training(count: int, options: FitOptions) -> int:
    return round(count * (1 - options.holdout))


def _problem(coefficients: tuple[Coefficient, ...], hold: Mapping[str, float | None]) -> Problem:
    names = [one.name for one in coefficients]
    for name, value in hold.items():
        if name not in names:
            raise ConfigError(f"hold: unknown coefficient {name!r}; {nearest(name, names)}")
        one = coefficients[names.index(name)]
        if value is not None and not one.least <= value <= one.most:
            raise ConfigError(f"hold: {name} must lie in [{one.least:g}, {one.most:g}], got {value:g}")
    held = tuple(
        one if hold.get(one.name) is None else dataclasses.replace(one, start=float(hold[one.name] or 0.0))
        for one in coefficients
    )
    free = tuple(i for i, name in enumerate(names) if name not in hold)
    if not free:
        raise ConfigError("hold: all coefficients are held; leave at least one to be found")
    return Problem(held, free)


def _model(law: FreeLaw, found: Found) -> LatencyModel:
    return law.with_alpha(found.values[: len(ALPHA)].tolist(), found.values[len(ALPHA) :].tolist())


def _margin(measured: Measured) -> dict[str, tuple[float, float]]:
    resolved = measured.simulation.resolved
    percent = resolved.details["latency_model"].get("accuracy_percent")
    if percent is None:
        return {}
    low, high = (mean_us(measured, resolved.latency, measured.rows, 1 + sign * percent / 100) for sign in (-1, 1))
    return {name: (low[name], high[name]) for name in low}


def _gpu(law: FreeLaw, found: Found) -> Gpu | None:
    return None if law.changed_gpu is None else law.changed_gpu(found.values[len(ALPHA) :].tolist())


def _judge_steps(log: StepLog, rows: slice, model: LatencyModel) -> Judgement:
    return Judgement({"step": compare(log.duration_us[rows], step_durations_us(model, log.loads[rows]))}, None)
