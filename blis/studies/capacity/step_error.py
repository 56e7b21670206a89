"""What errors of the model of step time do to an answer: it is found again with all steps shorter, and longer."""

from __future__ import annotations

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
    """That of a rate.

    Runs are as long as at first, and so too kind to heavy loads; as they are without an error, too, it is the ratio of
    the two that counts. Searches begin where the rate would be if all were a matter of steps.
    """
    percent, rate = stated_percent(evaluator), found.rate
    if percent is None or rate is None or found.verdict != "found":
        return None
    rough = replace(bounds, tolerance=max(bounds.tolerance, _TOLERANCE), can_grow=False)

    def again(factor: float) -> float | None:
        return sized(evaluator.with_steps(factor), _rough(effort), rough, rate / factor).rate

    usual, slow, fast = map(again, (1.0, *_factors(percent)))
    if usual is None:
        return StepError(percent, None, None)
    slow, fast = (None if end is None else rate * end / usual for end in (slow, fast))
    return StepError(percent, slow, fast)


def step_error_of_instances(
    evaluator: Evaluator, rate: float, effort: Effort, max_instances: int, found: int | None
) -> StepError | None:
    """That of a number of instances, ``found`` to be enough; None: none is, or it was not looked for."""
    percent, rough = stated_percent(evaluator), _rough(effort)
    if percent is None:
        return None

    def again(factor: float) -> int | None:
        scaled = evaluator.with_steps(factor)
        counts = range(1, max_instances + 1)
        meets = fewest(scaled, scaled.fill(rough, 1), rate, rough, counts, can_grow=False).meets
        return None if meets is None else meets.num_instances

    slow, fast = map(again, _factors(percent))
    if found is not None:  # with longer runs and other seeds
        slow, fast = (None if slow is None else max(slow, found)), min(fast or found, found)
    return StepError(percent, slow, fast)


def _factors(percent: int) -> tuple[float, float]:
    return 1 + percent / 100, 1 - percent / 100


def _rough(effort: Effort) -> Effort:
    return Effort(effort.num_requests, min(effort.replications, _REPLICATIONS))
