"""The page of a plan: what to deploy, at what cost, and what was left out (docs/report.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blis.report.charting import BLUE, GREY
from blis.report.configuration import configuration
from blis.report.figure_charts import Axis, on_front, tradeoff
from blis.report.page import Cell, Chart, Page, Section, Table, Text, Tile, Tiles
from blis.report.tables import number
from blis.studies.capacity.objectives import GOODPUT
from blis.studies.capacity.points import finite
from blis.studies.capacity.report import instances_text, limit_text, value_text
from blis.studies.plan.planning import Choice, Plan
from blis.studies.plan.report import choice_name, headlines, settings_text

#: Rows that a table has at most.
_MOST_ROWS = 100
_KINDS = {"nothing else beats it": BLUE, "beaten by another": GREY}
_FIGURES = {"p99_ttft": "p99 TTFT, ms", "p99_itl": "p99 ITL, ms"}


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
        yield Tile("Cheapest", [("per hour", f"{best.cost_per_hour:,.2f}")], choice_name(plan, best), "good")
        yield Tile("Per million output tokens", [("", number(best.cost_per_million_output_tokens, 3))], "at the rate")
        for name in dict.fromkeys([*best.at_rate.slos.names, *_FIGURES]):
            value = value_text(name, best.at_rate.estimates[name].mean)
            yield Tile(name, [("", value)], "of the cheapest, at the rate")
        yield Tile("GPUs", [("", f"{best.num_gpus:,}")])
    yield Tile("Deployments", [("meet the SLOs", f"{len(plan.choices):,}"), ("left out", f"{len(plan.rejected):,}")])


def _charts(plan: Plan) -> Iterator[Chart]:
    if not plan.choices:
        return
    import polars as pl

    front = plan.front
    rows = [
        {
            "name": choice_name(plan, one),
            "cost": one.cost_per_hour,
            **{name: finite(one.at_rate.estimates[name].mean / 1000) for name in _FIGURES},
            "gpus": one.num_gpus,
            "full": one.saturation_rate,
            "kind": list(_KINDS)[one not in front],
        }
        for one in plan.choices
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    slos = plan.file.slos
    for name, title in _FIGURES.items():
        limit = slos.limit(name) / 1000 if name in slos.names else None
        yield Chart(
            f"cost-{name.replace('_', '-')}",
            f"Cost against {title.partition(',')[0]}",
            tradeoff(
                frame.with_columns(pl.Series("on_front", on_front(frame["cost"], frame[name]))),
                Axis("cost", "cost per hour"),
                Axis(name, title, limit),
                _KINDS,
                {"gpus": "GPUs", "full": f"full at, {plan.unit}/s"},
            ),
            "Dotted: the cheapest for each latency. Nothing else beats a deployment in cost, both latencies and "
            "throughput at once.",
            "half",
        )


def _choices(plan: Plan) -> Table:
    front = plan.front
    shown = list(dict.fromkeys([*plan.file.slos.names, *_FIGURES]))
    heads = [name if name == GOODPUT else f"{name}, ms" for name in shown]
    rows: list[list[Cell]] = [
        [
            choice_name(plan, one),
            one.num_gpus,
            f"{one.cost_per_hour:,.2f}",
            number(one.cost_per_million_output_tokens, 3),
            instances_text(one.step_error, plan.file.max_instances),
            *(
                f"{one.at_rate.estimates[name].mean:.2%}"
                if name == GOODPUT
                else finite(one.at_rate.estimates[name].mean / 1000)
                for name in shown
            ),
            one.saturation_rate,
            "yes" if one in front else "",
        ]
        for one in plan.choices[:_MOST_ROWS]
    ]
    cut = f"The {_MOST_ROWS} cheapest of {len(plan.choices):,}. " if len(plan.choices) > _MOST_ROWS else ""
    return Table(
        [
            "deployment",
            "GPUs",
            "per hour",
            "per 1M tokens",
            "instances if steps are off",
            *heads,
            f"full at, {plan.unit}/s",
            "nothing beats it",
        ],
        rows,
        note=cut + "Figures are at the rate, with seeds that were not used to choose.",
    )


def _command(plan: Plan, one: Choice) -> Iterator[Text]:
    yield Text(choice_name(plan, one))
    yield Text(one.command, code=True)


def _rejected(plan: Plan) -> Table:
    rows = [(settings_text(plan, one.candidate), one.reason) for one in plan.rejected[:_MOST_ROWS]]
    count = len(plan.rejected)
    return Table(
        ["deployment", "why"], rows, note=f"The first {_MOST_ROWS} of {count:,}." if count > _MOST_ROWS else ""
    )
