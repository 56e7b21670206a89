"""The page of a plan: what to deploy, at what cost, and what was left out (docs/report.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from blis.report.charting import BLUE, GREY
from blis.report.configuration import configuration
from blis.report.figure_charts import Axis, on_front, tradeoff
from blis.report.page import Cell, Chart, Page, Section, Table, Text, Tile, Tiles
from blis.report.tables import number
from blis.studies.capacity.objectives import GOODPUT
from blis.studies.capacity.points import finite
from blis.studies.capacity.report import instances_text, latency_title, limit_text, value_text
from blis.studies.plan.planning import Choice, Plan
from blis.studies.plan.report import choice_name, headlines, settings_text, shown_figures, states_step_errors

#: Rows that a table has at most.
_MOST_ROWS = 100
_KINDS = {"nothing else beats it": BLUE, "beaten by another": GREY}


def page_of(plan: Plan, command: Sequence[str] = ()) -> Page:
    """Put the page together.

    Args:
        plan: what was found.
        command: arguments of ``blis`` that make the same; empty: not known.
    """
    verdict, *others = headlines(plan)
    slos = plan.file.slos
    asked = "; ".join(limit_text(slos, name) for name in slos.names)
    sections = [
        Section("", [Tiles(list(_tiles(plan)))]),
        Section("Cost against latency", list(_charts(plan))),
        Section("Deployments that meet the SLOs", [_choices(plan)] if plan.choices else []),
        Section("Commands", [part for one in plan.front for part in _command(plan, one)]),
        Section("Left out", [_rejected(plan)] if plan.rejected else []),
        configuration(_asked_for(plan), command, title="What all deployments have in common"),
    ]
    return Page(
        f"Plan for {plan.rate:g} {plan.unit} per second",
        verdict,
        [section for section in sections if section.parts],
        [*others, f"Asked for: {asked}; with {plan.file.margin:.0%} more requests, too."],
    )


def _asked_for(plan: Plan) -> dict[str, object]:
    """What the deployments share, and the prices."""
    every = [candidate.settings for candidate in plan.file.candidates]
    shared = {key: value for key, value in every[0].items() if all(each.get(key) == value for each in every)}
    return {**shared, "prices per GPU and hour": dict(plan.file.prices), "max_instances": plan.file.max_instances}


def _tiles(plan: Plan) -> Iterator[Tile]:
    best = plan.best
    if best is None:
        yield Tile("Cheapest", [("", "none")], "no deployment meets the SLOs", "bad")
    else:
        costs = [("per hour", f"{best.cost_per_hour:,.2f}"), ("per month of 730 h", f"{best.cost_per_month:,.0f}")]
        yield Tile("Cheapest", costs, choice_name(plan, best), "good")
        yield Tile("Per million output tokens", [("", number(best.cost_per_million_output_tokens, 3))], "at the rate")
        for name in shown_figures(plan):
            value = value_text(name, best.at_rate.estimates[name].mean)
            yield Tile(name, [("", value)], "of the cheapest, at the rate")
        yield Tile("GPUs", [("", f"{best.num_gpus:,}")])
    yield Tile("Deployments", [("meet the SLOs", f"{len(plan.choices):,}"), ("left out", f"{len(plan.rejected):,}")])


def _charts(plan: Plan) -> Iterator[Chart]:
    if not plan.choices:
        return
    import polars as pl

    front, slos = plan.front, plan.file.slos
    rows = [
        {
            "label": str(number),
            "name": f"{number}: {choice_name(plan, one)}",
            "cost": one.cost_per_hour,
            "month": one.cost_per_month,
            **{name: finite(one.at_rate.estimates[name].mean / 1000) for name in slos.latencies},
            "gpus": one.num_gpus,
            "full": one.saturation_rate,
            "kind": list(_KINDS)[plan.has_beaten and one not in front],
        }
        for number, one in enumerate(plan.choices, start=1)
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    for name in slos.latencies:
        title = latency_title(name)
        limit = slos.limit(name) / 1000 if name in slos.names else None
        yield Chart(
            f"cost-{name.replace('_', '-')}",
            f"Cost against {title}",
            tradeoff(
                frame.with_columns(pl.Series("on_front", on_front(frame["cost"], frame[name]))),
                Axis("cost", "cost per hour"),
                Axis(name, f"{title}, ms", limit),
                _KINDS,
                {"month": "cost per month of 730 h", "gpus": "GPUs", "full": f"full at, {plan.unit}/s"},
            ),
            "Numbers are those of the table. Dotted: the cheapest for each latency. " + _front_note(plan),
            "half",
        )


def _front_note(plan: Plan) -> str:
    what = f"cost, {', '.join(map(latency_title, plan.file.slos.latencies))} and throughput at once"
    if plan.has_beaten:
        return f"Nothing else beats a deployment: in {what}."
    return f"No deployment beats another one in {what}." if len(plan.choices) > 1 else ""


def _choices(plan: Plan) -> Table:
    columns = dict(_columns(plan))
    cut = f"The {_MOST_ROWS} cheapest of {len(plan.choices):,}. " if len(plan.choices) > _MOST_ROWS else ""
    return Table(
        ["", *columns],
        [
            [number, *(cell(one) for cell in columns.values())]
            for number, one in enumerate(plan.choices[:_MOST_ROWS], start=1)
        ],
        note=cut + "Figures are at the rate, with seeds that were not used to choose.",
        is_sortable=True,
    )


def _columns(plan: Plan) -> Iterator[tuple[str, Callable[[Choice], Cell]]]:
    """Headings, and what stands below them."""
    front = plan.front
    yield "deployment", lambda one: choice_name(plan, one)
    yield "GPUs", lambda one: one.num_gpus
    yield "per hour", lambda one: f"{one.cost_per_hour:,.2f}"
    yield "per month", lambda one: f"{one.cost_per_month:,.0f}"
    yield "per 1M tokens", lambda one: number(one.cost_per_million_output_tokens, 3)
    for name in shown_figures(plan):
        yield (name if name == GOODPUT else f"{name}, ms"), partial(_figure, name)
    yield f"full at, {plan.unit}/s", lambda one: one.saturation_rate
    if states_step_errors(plan):
        most = plan.file.max_instances
        yield "instances if steps are off", lambda one: instances_text(one.step_error, most)
    if plan.has_beaten:
        yield "nothing beats it", lambda one: "yes" if one in front else ""


def _figure(name: str, one: Choice) -> Cell:
    mean = one.at_rate.estimates[name].mean
    return f"{mean:.2%}" if name == GOODPUT else finite(mean / 1000)


def _command(plan: Plan, one: Choice) -> Iterator[Text]:
    yield Text(choice_name(plan, one))
    yield Text(one.command, code=True)


def _rejected(plan: Plan) -> Table:
    rows = [(settings_text(plan, one.candidate), one.reason) for one in plan.rejected[:_MOST_ROWS]]
    count = len(plan.rejected)
    return Table(
        ["deployment", "why"], rows, note=f"The first {_MOST_ROWS} of {count:,}." if count > _MOST_ROWS else ""
    )
