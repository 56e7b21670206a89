"""What a plan has to say, as plain JSON values and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from blis.studies.capacity.objectives import GOODPUT
from blis.studies.capacity.points import finite
from blis.studies.capacity.report import cliff_lines, count_text, instances_text, number_text, step_error_text
from blis.studies.plan.file import Candidate
from blis.studies.plan.planning import Choice, Plan

#: Settings that speak for themselves.
_BARE = ("model", "hardware", "routing_policy")


def report(plan: Plan) -> dict[str, Any]:
    """Everything about a plan, as plain JSON values; latencies in ms."""
    rows = plan.rows
    closest = plan.closest
    return {
        "rate_per_s": plan.rate,
        "rate_of": plan.unit,
        "margin": plan.file.margin,
        "slos": {each.name: each.limit_us / 1000 for each in plan.file.slos.objectives},
        "goodput": plan.file.slos.goodput,
        "best": rows[0] if rows else None,
        "closest": None
        if rows or closest is None
        else {**closest.candidate.differing, "missed": closest.missed, "strain": finite(closest.strain)},
        "choices": rows,
        "rejected": [
            {**one.candidate.differing, "num_instances": one.candidate.num_instances, "reason": one.reason}
            for one in plan.rejected
        ],
    }


def text(plan: Plan) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    from blis.report.tables import unwrapped

    yield from headlines(plan)
    if plan.choices:
        yield _table(plan)
    for one in plan.front:
        yield f"{choice_name(plan, one)}:"
        yield unwrapped(f"  {one.command}")
    for out in plan.rejected:
        yield f"Left out: {settings_text(plan, out.candidate)}: {out.reason}"


def headlines(plan: Plan) -> Iterator[str]:
    """The answer in a line, and what comes closest if there is none."""
    best, closest = plan.best, plan.closest
    margin = plan.file.margin
    asked_for = f"a margin of {margin:.0%} ({plan.rate * (1 + margin):g} per second)" if margin else "no margin"
    load = f"{plan.rate:g} {plan.unit} per second with {asked_for}"
    if best is not None:
        yield f"Cheapest for {load}: {choice_name(plan, best)}, {best.cost_per_hour:.2f} per hour"
        ends = instances_text(best.step_error, plan.file.max_instances)
        yield step_error_text(best.step_error, count_text(best.num_instances), ends)
        yield from cliff_lines(best.with_margin)
        return
    yield f"None of the deployments meets the SLOs at {load}."
    if closest is not None and closest.strain is not None:
        beyond = f"{closest.strain - 1:.1%} beyond its limit" if finite(closest.strain) else "endless"
        yield f"Closest: {settings_text(plan, closest.candidate)}, {closest.missed} is {beyond}."


def choice_name(plan: Plan, one: Choice) -> str:
    """How many of what."""
    return f"{one.num_instances} x {settings_text(plan, one.candidate)}"


def settings_text(plan: Plan, one: Candidate) -> str:
    """What sets a deployment apart from others of the plan."""
    every = [each.differing for each in plan.file.candidates]
    varied = [name for name, value in one.differing.items() if any(each.get(name) != value for each in every)]
    parts = (str(one.differing[name]) if name in _BARE else f"{name}={one.differing[name]}" for name in varied)
    return " ".join(parts) or "the deployment"


def _table(plan: Plan) -> Any:
    from blis.report.tables import table

    shown = [*dict.fromkeys([*plan.file.slos.names, "p99_ttft", "p99_itl"])]
    units = [each if each == GOODPUT else "{}\nms".format(each.replace("_", "\n")) for each in shown]
    costs = ["GPUs", "per\nhour", "per 1M\ntokens", "instances\nif steps\nare off"]
    heads = ["", "deployment", *costs, *units, "full at\nper s"]
    rows = table(*heads, words=("deployment",), title="Deployments that meet the SLOs; * nothing else beats")
    front = plan.front
    for one in plan.choices:
        figures = one.at_rate.estimates
        cost = one.cost_per_million_output_tokens
        rows.add_row(
            "*" if one in front else "",
            choice_name(plan, one),
            str(one.num_gpus),
            f"{one.cost_per_hour:.2f}",
            "" if cost is None else f"{cost:.3f}",
            instances_text(one.step_error, plan.file.max_instances),
            *(number_text(figures[each].mean / (1 if each == GOODPUT else 1000)) for each in shown),
            number_text(one.saturation_rate),
        )
    return rows
