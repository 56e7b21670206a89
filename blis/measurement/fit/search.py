"""Coefficients from measured requests: simulate, regress the measured times on the simulated steps, simulate again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.errors import InputError
from blis.measurement.fit.judging import pairs
from blis.measurement.fit.laws import ALPHA, FreeLaw
from blis.measurement.fit.measured import Measured
from blis.measurement.fit.regression import Noise, Precision, Problem, Regression
from blis.measurement.fit.spans import Spans, request_spans, waited_long
from blis.simulation.steps import run_with_steps
from blis.workload.requests import Ints

Floats = NDArray[np.float64]

#: Simulations of each trace. A handful gets close; then the steps into which a request falls go on jumping about. The
#: best round is taken, and how the others differ from each other is part of the intervals.
ROUNDS = 12
#: From this round on only half of each change is made, which damps the jumping.
FIRST_DAMPED = 3
_DAMPING = 0.5
#: An error beyond one half says that a request fell into other steps, not how good the coefficients are.
_MOST_ERROR = 0.5
#: Below that, groups of requests that are left out in turn are too small to tell the noise.
FEWEST_REQUESTS = 20


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        values: of all coefficients, `ALPHA` first.
        noise: what they leave.
        precision: how well the free ones are known.
    """

    values: Floats
    noise: Noise
    precision: Precision


def search(
    traces: Sequence[Measured],
    rows: Sequence[Ints],
    laws: Sequence[FreeLaw],
    problem: Problem,
    progress: Callable[[int], None] | None = None,
) -> Found:
    """Find the coefficients under which the simulation of measured requests takes what these took.

    Args:
        traces: what was measured.
        rows: of each trace, the requests to learn from.
        laws: of each trace; they have the same coefficients.
        problem: which these are.
        progress: called after each round with the number of rounds done.

    Raises:
        InputError: there are too few requests.
        EngineError: a run failed.
    """
    num_requests = sum(map(len, rows))
    if num_requests < FEWEST_REQUESTS:
        raise InputError(
            f"trace: has {num_requests} measured requests to learn from; at least {FEWEST_REQUESTS} are needed"
        )
    values, best, late = problem.start, np.inf, []
    chosen = values
    for round_ in range(ROUNDS):
        parts, error = _simulate(traces, rows, laws, values)
        if error < best:
            best, chosen = error, values
        found = solved(Regression(problem, parts), values)
        if round_ < FIRST_DAMPED:
            values = found.values
        else:
            values = _DAMPING * values + (1 - _DAMPING) * found.values
            late.append(found)
        if progress is not None:
            progress(round_ + 1)
    return _together(chosen, late, problem)


def solved(regression: Regression, start: Floats) -> Found:
    """What a regression finds from given values."""
    values, noise = regression.solve(start)
    return Found(values, noise, regression.precision(values, noise))


def _together(values: Floats, rounds: list[Found], problem: Problem) -> Found:
    """What several rounds say about chosen values: how their solutions differ adds to the covariance."""
    solutions = np.array([each.values[list(problem.free)] for each in rounds])
    between = np.cov(solutions, rowvar=False).reshape(len(problem.free), -1)
    parts = [each.precision for each in rounds]
    precision = Precision(
        covariance=np.mean([each.covariance for each in parts], axis=0) + between,
        freedom=min(each.freedom for each in parts),
        effects=np.mean([each.effects for each in parts], axis=0),
        inflation=np.median([each.inflation for each in parts], axis=0),
    )
    noise = Noise(*(float(np.mean([getattr(each.noise, kind) for each in rounds])) for kind in ("decode", "prompt")))
    return Found(values, noise, precision)


def _simulate(
    traces: Sequence[Measured], rows: Sequence[Ints], laws: Sequence[FreeLaw], values: Floats
) -> tuple[list[Spans], float]:
    """The spans of all traces under some coefficients, and how far these are off."""
    parts, errors = [], []
    alpha, of_law = values[: len(ALPHA)].tolist(), values[len(ALPHA) :].tolist()
    for measured, some, law in zip(traces, rows, laws, strict=True):
        simulation, model = measured.simulation, law.with_alpha(alpha, of_law)
        result, steps = run_with_steps(
            measured.table, simulation.resolved.engine, model, simulation.control, measured.blocks
        )
        parts.append(request_spans(law, measured, some, result, steps))
        prompt = pairs(measured, model, result, some[~waited_long(result, steps)[some]])["ttft"]
        of_all = pairs(measured, model, result, some)
        for real, predicted in (of_all["e2e"], of_all["tpot"], prompt):
            errors.append(np.minimum(np.abs(predicted - real) / np.maximum(real, 1), _MOST_ERROR))
    return parts, float(np.concatenate(errors).mean())
