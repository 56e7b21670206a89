"""What a plan has to say, as plain JSON values and as text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from blis.report.tables import number
from blis.studies.capacity.objectives import GOODPUT
from blis.studies.capacity.points import finite
from blis.studies.capacity.report import cliff_lines, count_text, instances_text, number_text, step_error_text
from blis.studies.plan.file import Candidate
from blis.studies.plan.planning import HOURS_PER_MONTH, Choice, Plan

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
        yield ""
        yield _table(plan)
        yield ""
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
        yield f"Cheapest for {load}: {choice_name(plan, best)}, {cost_text(best)}"
        ends = instances_text(best.step_error, plan.file.max_instances)
        yield step_error_text(best.step_error, count_text(best.num_instances), ends)
        yield from cliff_lines(best.with_margin)
        return
    yield f"None of the deployments meets the SLOs at {load}."
    if closest is not None and closest.strain is not None:
        beyond = f"{closest.strain - 1:.1%} beyond its limit" if finite(closest.strain) else "endless"
        yield f"Closest: {settings_text(plan, closest.candidate)}, {closest.missed} is {beyond}."


def cost_text(one: Choice) -> str:
    """By the hour and by the month."""
    return f"{one.cost_per_hour:,.2f} per hour, {one.cost_per_month:,.0f} per month of {HOURS_PER_MONTH} h"


def choice_name(plan: Plan, one: Choice) -> str:
    """How many of what."""
    return f"{one.num_instances} x {settings_text(plan, one.candidate)}"


def settings_text(plan: Plan, one: Candidate) -> str:
    """What sets a deployment apart from others of the plan."""
    every = [each.differing for each in plan.file.candidates]
    varied = [name for name, value in one.differing.items() if any(each.get(name) != value for each in every)]
    parts = (str(one.differing[name]) if name in _BARE else f"{name}={one.differing[name]}" for name in varied)
    return " ".join(parts) or "the deployment"


def shown_figures(plan: Plan) -> list[str]:
    """Figures of a table of deployments: all that is asked for, and the latencies by which to choose."""
    slos = plan.file.slos
    return list(dict.fromkeys([*slos.names, *slos.latencies]))


def states_step_errors(plan: Plan) -> bool:
    """Whether there is a deployment of which it is known how far its steps may be off."""
    return any(one.step_error is not None for one in plan.choices)


def _table(plan: Plan) -> Any:
    from blis.report.tables import table

    title = "Deployments that meet the SLOs"
    columns = {name: list(map(cell, plan.choices)) for name, cell in _columns(plan)}
    marks = {"": ["*" if one in plan.front else "" for one in plan.choices]} if plan.has_beaten else {}
    rows = table(*marks, *columns, words=("deployment",), title=title + ("; * nothing else beats" if marks else ""))
    for cells in zip(*marks.values(), *columns.values(), strict=True):
        rows.add_row(*cells)
    return rows


def _columns(plan: Plan) -> Iterator[tuple[str, Callable[[Choice], str]]]:
    """Headings, and what stands below them."""
    yield "deployment", lambda one: choice_name(plan, one)
    yield "GPUs", lambda one: str(one.num_gpus)
    yield "per\nhour", lambda one: f"{one.cost_per_hour:,.2f}"
    yield "per\nmonth", lambda one: f"{one.cost_per_month:,.0f}"
    yield "per 1M\ntokens", lambda one: number(one.cost_per_million_output_tokens, 3)
    for name in shown_figures(plan):
        yield _heading(name), partial(_figure_text, name)
    yield "full at\nper s", lambda one: number_text(one.saturation_rate)
    if states_step_errors(plan):
        most = plan.file.max_instances
        yield "instances\nif steps\nare off", lambda one: instances_text(one.step_error, most)


def _heading(name: str) -> str:
    return name if name == GOODPUT else "{}\nms".format(name.replace("_", "\n"))


def _figure_text(name: str, one: Choice) -> str:
    return number_text(one.at_rate.estimates[name].mean / (1 if name == GOODPUT else 1000))
