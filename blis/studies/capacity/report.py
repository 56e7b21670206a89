"""What capacities and instances have to say, as plain JSON values and as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from blis.studies.capacity.capacity import MARGIN, Capacity, InstancesNeeded
from blis.studies.capacity.objectives import GOODPUT, Slos
from blis.studies.capacity.points import Point
from blis.studies.capacity.step_error import StepError, step_error_row

#: Widest bar, in characters; the limit is at two thirds of it.
_BAR = 18
_LIMIT_AT = 12
#: Latencies that are called by their initials.
_INITIALS = ("ttft", "itl", "tpot", "e2e")


def report(result: Capacity | InstancesNeeded) -> dict[str, Any]:
    """Everything about a result, as plain JSON values; latencies in ms."""
    slos = {"slos": {each.name: each.limit_us / 1000 for each in result.slos.objectives}}
    if result.slos.goodput is not None:
        slos["goodput"] = result.slos.goodput  # type: ignore[assignment]
    if isinstance(result, InstancesNeeded):
        head: dict[str, Any] = {
            "rate_per_s": result.rate,
            "rate_of": result.unit,
            "num_instances": result.num_instances,
            "max_instances": result.max_instances,
            "margin": 0.0,
            **step_error_row(result.step_error, "num_instances"),
        }
    else:
        head = {
            "verdict": result.verdict,
            "rate_per_s": result.rate,
            "rate_of": result.unit,
            "rate_low95_per_s": result.low,
            "rate_high95_per_s": result.high,
            "interval": "of draws and bisection" if result.is_sampled else "of bisection",
            **step_error_row(result.step_error, "rate_per_s"),
        }
    return {
        **head,
        "binding": result.binding,
        "utilisation": result.utilisation,
        "saturation_rate_per_s": result.saturation_rate,
        "backlog": result.backlog,
        **slos,
        "cliffs": {name: asdict(cliff) for name, cliff in answer(result).cliffs.items()},
        "curve": result.rows,
    }


def text(result: Capacity | InstancesNeeded) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    yield from headlines(result)
    yield ""
    yield _table(result.curve_points, result.slos)


def headlines(result: Capacity | InstancesNeeded) -> Iterator[str]:
    """The answer in a line, and what there is to say about it."""
    return _needed(result) if isinstance(result, InstancesNeeded) else _capacity(result)


def answer(found: Capacity | InstancesNeeded) -> Point:
    """The point that the answer is about: the best one that meets the SLOs, else the one that comes closest."""
    meets = [point for point in found.points if point.meets]
    if isinstance(found, InstancesNeeded):
        return min(meets, key=lambda point: point.num_instances, default=found.points[-1])
    return max(meets, key=lambda point: point.rate, default=found.points[0])


def limit_text(slos: Slos, name: str) -> str:
    """A limit as people write it: ``p99_ttft <= 200 ms``."""
    if name == GOODPUT:
        held = ", ".join(f"{each.name} <= {each.limit_us / 1000:g} ms" for each in slos.per_request)
        return f"{slos.goodput:.4g} of requests with {held}"
    if name == "backlog":
        return "a backlog that does not grow"
    return f"{name} <= {slos.limit(name) / 1000:g} ms"


def latency_title(name: str) -> str:
    """What people call a figure: ``p99 TTFT`` of ``p99_ttft``."""
    statistic, _, metric = name.partition("_")
    return f"{statistic} {metric.upper() if metric in _INITIALS else metric.replace('_', ' ')}"


def value_text(name: str, value: float) -> str:
    """A figure with its unit."""
    if math.isinf(value):
        return "endless"  # so many requests are turned away
    return number_text(value) if name == GOODPUT or math.isnan(value) else f"{value / 1000:.4g} ms"


def number_text(value: float | None) -> str:
    """A figure; a dash if there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def step_error_text(error: StepError | None, result: str, ends: str) -> str:
    """What errors of the step times do to an answer.

    Args:
        error: the same.
        result: the answer without them, with its unit.
        ends: the least and the most that they make of it.
    """
    if error is None:
        return "How far step times may be off is not stated, and so is not known what that does to the answer."
    return f"{result}; {ends} if steps are {error.percent} % off, as they may be."


def instances_text(error: StepError | None, most: int) -> str:
    """How many instances are enough if steps are off, from the fewest to the most.

    Args:
        error: of their number.
        most: that were allowed.
    """
    if error is None:
        return "not stated"
    fast, slow = (f"more than {most}" if end is None else f"{end:g}" for end in (error.fast, error.slow))
    return fast if fast == slow else f"{fast} to {slow}"


def length_text(points: Sequence[Point]) -> str:
    """How long the runs of a curve are."""
    counts = sorted({point.num_requests for point in points})
    return f"{' to '.join(f'{count:,}' for count in dict.fromkeys([counts[0], counts[-1]]))} requests in each run"


def count_text(num_instances: int) -> str:
    """So many instances."""
    return f"{num_instances} instance{'s' if num_instances > 1 else ''}"


def cliff_lines(point: Point) -> Iterator[str]:
    """A line for each limited percentile that stands at a steep step."""
    for name, cliff in point.cliffs.items():
        step = f"p{cliff.lower} is {cliff.lower_ms:.4g} ms, p{cliff.upper} {cliff.upper_ms:.4g} ms"
        yield f"{name} stands on a cliff: {step}; a tiny change of the load moves it a lot."


def _capacity(found: Capacity) -> Iterator[str]:
    per_s = f"{found.unit} per second"
    if found.verdict == "none":
        worst = found.points[0]
        yield f"No rate meets the SLOs: even at {worst.rate:.4g} {per_s} {_miss(worst)}."
        return
    if found.verdict == "too short to tell":
        count = max(point.num_requests for point in found.points)
        known = "" if found.rate is None else f" The SLOs hold up to {found.rate:.5g} {per_s}, with a stable backlog."
        yield f"Too short to tell: {count:,} requests say nothing of a limit.{known}"
        return
    if found.verdict == "no limit":
        yield f"No limit was found: the SLOs are met even at {found.rate:.5g} {per_s}, the highest rate."
    else:
        how = "" if found.is_sampled else ", by bisection alone"
        yield (
            f"Capacity: {found.rate:.5g} {per_s} "
            f"(95 % interval {found.low:.5g} to {found.high:.5g}{how}); backlog: {found.backlog}"
        )
        yield f"In the way of more: {limit_text(found.slos, found.binding or '')}"
        yield step_error_text(found.step_error, f"{found.rate:.4g} {per_s}", _rates_text(found.step_error))
    yield from _full(found, f"{number_text(found.saturation_rate)} per second of a full system")


def _needed(found: InstancesNeeded) -> Iterator[str]:
    load = f"{found.rate:g} {found.unit} per second"
    if found.num_instances is None:
        worst = max(found.points, key=lambda point: point.num_instances)
        yield f"Not even {found.max_instances} instances meet the SLOs at {load}: {_miss(worst)}."
        return
    yield f"{count_text(found.num_instances)} for {load}; backlog: {found.backlog}"
    yield f"Closest to its limit: {limit_text(found.slos, found.binding)}"
    more = f"{found.rate * (1 + MARGIN):g}"
    yield f"No margin is taken; blis plan takes {MARGIN:.0%} unless told otherwise, and asks for {more} per second."
    ends = instances_text(found.step_error, found.max_instances)
    yield step_error_text(found.step_error, count_text(found.num_instances), ends)
    yield from _full(found, f"{number_text(found.saturation_rate)} per second of each full instance")


def _rates_text(error: StepError | None) -> str:
    if error is None:
        return "not stated"
    return " to ".join("none" if end is None else f"{end:.4g}" for end in (error.slow, error.fast))


def _full(found: Capacity | InstancesNeeded, what: str) -> Iterator[str]:
    if found.utilisation is not None:
        yield f"Utilisation: {found.utilisation:.1%} of the {what}"
    yield from cliff_lines(answer(found))


def _miss(point: Point) -> str:
    name = point.binding
    if name == "backlog":
        return "the backlog grows"
    return f"{name} is {value_text(name, point.estimates[name].mean)} ({limit_text(point.slos, name)} is asked for)"


def _table(points: Sequence[Point], slos: Slos) -> Any:
    from rich.text import Text

    from blis.report.tables import table

    has_instances = len({point.num_instances for point in points}) > 1
    figures = [name if name == GOODPUT else f"{name}\nms" for name in slos.names]
    bars = f"{'worst SLO':{_LIMIT_AT}}|limit"
    columns = ["rate/s", *(["instances"] if has_instances else []), *figures, "backlog", bars]
    rows = table(*columns, words=("backlog", bars), title=f"Load and SLOs, {length_text(points)}")
    rows.columns[-1].min_width = len(bars)
    for point in points:
        cells = [f"{point.rate:.5g}", *([str(point.num_instances)] if has_instances else [])]
        for name in slos.names:
            value = point.estimates[name].mean
            cells.append(f"{value if name == GOODPUT else value / 1000:.4g}")
        style = "green" if point.meets else "red"
        rows.add_row(*cells, point.backlog, Text(_bar(max(point.strains.values())), style=style))
    return rows


def _bar(strain: float) -> str:
    length = min(round(min(strain, 10.0) * _LIMIT_AT), _BAR)
    return "█" * length + (">" if strain * _LIMIT_AT > _BAR else "")
