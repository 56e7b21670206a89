"""How good a model of step time is on measured requests, and how errors of steps grow into errors of latencies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.latency.law import LatencyModel
from blis.measurement.fit.measured import Measured
from blis.outcomes.metrics.calibration import Comparison, compare
from blis.outcomes.outcomes import Outcomes
from blis.simulation.result import EngineResult
from blis.simulation.run import run_engine
from blis.workload.requests import Ints

Floats = NDArray[np.float64]
#: Measured and simulated values of each metric (µs).
Pairs = dict[str, tuple[Floats, Floats]]

METRICS = ("e2e", "tpot", "ttft")
#: Step times are stretched by these factors to see what that does to latencies: small enough for a slope, large
#: enough to stand out from the jumps of single requests between steps.
_STRETCHES = (0.98, 0.99, 1.01, 1.02)


@dataclass(frozen=True)
class Judgement:
    """How a model of step time does on measured requests.

    Attributes:
        metrics: in µs; of `METRICS` those that some request has, or only ``step``.
        throughput_error: relative error of output tokens per second, from the first request sent to the last token;
            None: single steps were measured.
    """

    metrics: Mapping[str, Comparison]
    throughput_error: float | None


def judge(traces: Sequence[Measured], rows: Sequence[Ints], models: Sequence[LatencyModel]) -> Judgement:
    """Compare measured with simulated latencies over the given rows of all traces, one at least.

    Raises:
        EngineError: a run failed.
    """
    found: list[Pairs] = []
    spans: list[tuple[int, int]] = []
    for measured, some, model in zip(traces, rows, models, strict=True):
        if not len(some):
            continue
        result = simulated(measured, model)
        found.append(pairs(measured, model, result, some))
        begin = measured.sent_us[some].min()
        spans.append(((measured.sent_us + measured.e2e_us)[some].max() - begin, result.finished_us[some].max() - begin))
    sides = {
        name: [np.concatenate(side) for side in zip(*(each[name] for each in found), strict=True)] for name in METRICS
    }
    metrics = {name: compare(real, predicted) for name, (real, predicted) in sides.items() if len(real)}
    measured_us, simulated_us = np.sum(spans, axis=0)
    return Judgement(metrics, float(measured_us / simulated_us - 1))


def simulated(measured: Measured, latency: LatencyModel, *, stretch: float = 1.0) -> EngineResult:
    """Serve the requests of a trace, all step times and delays stretched by a factor.

    Instead of the steps it is the clock that is stretched: arrivals come nearer in the run, and its stamps are to be
    multiplied by the factor.

    Raises:
        EngineError: the run failed.
    """
    simulation, table = measured.simulation, measured.table
    if stretch != 1.0:
        table = dataclasses.replace(table, arrival_us=np.rint(table.arrival_us / stretch).astype(np.int64))
    return run_engine(table, simulation.resolved.engine, latency, simulation.control, blocks=measured.blocks)


def pairs(measured: Measured, latency: LatencyModel, result: EngineResult, rows: Ints) -> Pairs:
    """Measured and simulated values of each of `METRICS`, of those requests that have both."""
    outcomes = Outcomes.of(measured.table, result, latency, {})
    finished = rows[result.finished_us[rows] >= 0]
    has_ttft, has_tpot = measured.decode_us[finished] > 0, ~np.isnan(measured.tpot_us[finished])
    values = {
        "e2e": (measured.e2e_us, outcomes.e2e_us(), finished),
        "tpot": (measured.tpot_us, outcomes.itl_mean_us(), finished[has_tpot]),
        "ttft": (measured.ttft_us, outcomes.ttft_us(), finished[has_ttft]),
    }
    return {
        name: (np.maximum(real[some], 0).astype(np.float64), predicted[some].astype(np.float64))
        for name, (real, predicted, some) in values.items()
    }


def mean_us(measured: Measured, latency: LatencyModel, rows: Ints, stretch: float) -> dict[str, float]:
    """Simulated means of `METRICS` with all step times stretched by a factor.

    Raises:
        EngineError: the run failed.
    """
    values = pairs(measured, latency, simulated(measured, latency, stretch=stretch), rows)
    return {name: stretch * float(predicted.mean()) for name, (_, predicted) in values.items() if len(predicted)}


def amplification(measured: Measured, latency: LatencyModel, rows: Ints) -> dict[str, float]:
    """By how many per cent mean latencies grow if every step takes one per cent longer; > 1 near saturation.

    Raises:
        EngineError: a run failed.
    """
    means = [mean_us(measured, latency, rows, stretch) for stretch in _STRETCHES]
    growth = {name: np.array([each[name] for each in means]) for name in means[0]}
    return {name: float(np.polyfit(_STRETCHES, each, 1)[0] / each.mean()) for name, each in growth.items()}
