"""The error to expect of a run: that of the roofline on measured servers under a load like this one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from blis._core.codes import RequestStatus
from blis.latency.expected_error import ExpectedError, expected_errors, load_of
from blis.outcomes.outcomes import Outcomes


class LoadFigures(NamedTuple):
    """What a load is judged by.

    Attributes:
        waiting: share of their time in the instance for which completed requests waited for their first step.
        in_system: requests in an instance, on average.
    """

    waiting: float
    in_system: float


def load_figures(outcomes: Outcomes) -> LoadFigures | None:
    """The load of a run; None: nothing was completed."""
    result = outcomes.result
    done = np.flatnonzero(result.status == RequestStatus.COMPLETED)
    inside_us = int((result.finished_us[done] - result.enqueued_us[done]).sum())
    if inside_us == 0:
        return None
    waiting_us = int((result.first_scheduled_us[done] - result.enqueued_us[done]).sum())
    return LoadFigures(waiting_us / inside_us, inside_us / result.end_us / len(result.instances))


class Expected(NamedTuple):
    """Errors to expect of a run.

    Attributes:
        load: what its load is called.
        errors: by figure (`blis.latency.expected_error.FIGURES`).
    """

    load: str
    errors: dict[str, ExpectedError]

    def figures(self) -> dict[str, Any]:
        """The key ``expected_error`` of the metrics block (docs/output.md)."""
        return {"load": self.load, **{figure: _figures(error) for figure, error in self.errors.items()}}


def _figures(error: ExpectedError) -> dict[str, Any]:
    return {
        "typical_percent": error.typical,
        "p90_percent": error.p90,
        "bias_percent": error.bias,
        "measured_points": error.points,
        "of": error.of,
    }


def expected_error(outcomes: Outcomes) -> Expected | None:
    """The errors to expect of a run; None: its steps are not the roofline's, or nothing was completed."""
    kind = outcomes.metadata.get("latency_model", {}).get("model_kind")
    load = None if kind is None else load_figures(outcomes)
    if load is None:
        return None
    name = load_of(*load)
    return Expected(name, expected_errors(outcomes.metadata["hardware"], kind, name))
