"""What errors of the model of step time do to an answer: it is found again with all steps shorter, and longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from blis.studies.capacity.evaluating import Evaluator
from blis.studies.capacity.points import Effort
from blis.studies.capacity.sizing import Bounds, Sized, fewest, sized

#: Answers with other steps are found no better than this: the steps themselves are far less certain.
_TOLERANCE = 0.02
_REPLICATIONS = 4


@dataclass(frozen=True)
class StepError:
    """An answer if all steps take longer or shorter than the model says, by as much as it may be off.

    Attributes:
        percent: how good step times are.
        slow: the answer if steps take so much longer, a rate or a number of instances; None: there is none.
        fast: if they take so much less time.
    """

    percent: int
    slow: float | None
    fast: float | None


def step_error_row(error: StepError | None, name: str) -> dict[str, float | None]:
    """As JSON has it: of the answer ``name``; all None if nothing is stated."""
    slow, fast, percent = (None, None, None) if error is None else (error.slow, error.fast, error.percent)
    return {"step_error_percent": percent, f"{name}_if_steps_longer": slow, f"{name}_if_steps_shorter": fast}


def stated_percent(evaluator: Evaluator) -> int | None:
    """How good the model says its step times are, ± per cent; None: it doesn't say."""
    percent = evaluator.resolved.details["latency_model"].get("accuracy_percent")
    return None if percent is None else int(percent)


def step_error(evaluator: Evaluator, effort: Effort, bounds: Bounds, found: Sized) -> StepError | None:
    """That of a rate: runs are as long as at first; the search begins where the rate would be if all were steps."""
    rough = replace(bounds, tolerance=max(bounds.tolerance, _TOLERANCE), can_grow=False)

    def again(factor: float) -> float | None:
        start = None if found.rate is None else found.rate / factor
        return sized(evaluator.with_steps(factor), _rough(effort), rough, start).rate

    return _step_error(evaluator, again) if found.verdict == "found" else None


def step_error_of_instances(evaluator: Evaluator, rate: float, effort: Effort, max_instances: int) -> StepError | None:
    """That of a number of instances."""
    rough = _rough(effort)

    def again(factor: float) -> float | None:
        scaled = evaluator.with_steps(factor)
        counts = range(1, max_instances + 1)
        meets = fewest(scaled, scaled.fill(rough, 1), rate, rough, counts, can_grow=False).meets
        return None if meets is None else meets.num_instances

    return _step_error(evaluator, again)


def _rough(effort: Effort) -> Effort:
    return Effort(effort.num_requests, min(effort.replications, _REPLICATIONS))


def _step_error(evaluator: Evaluator, again: Callable[[float], float | None]) -> StepError | None:
    percent = stated_percent(evaluator)
    if percent is None:
        return None
    return StepError(percent, again(1 + percent / 100), again(1 - percent / 100))
