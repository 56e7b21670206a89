"""What capacities and instances have to say, as plain JSON values and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from blis.studies.capacity.capacity import Capacity, InstancesNeeded
from blis.studies.capacity.objectives import GOODPUT, Slos
from blis.studies.capacity.points import Point

#: Widest bar, in characters; the limit is at two thirds of it.
_BAR = 18
_LIMIT_AT = 12


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
        }
    else:
        head = {
            "verdict": result.verdict,
            "rate_per_s": result.rate,
            "rate_of": result.unit,
            "rate_low95_per_s": result.low,
            "rate_high95_per_s": result.high,
            "interval": "of draws and bisection" if result.is_sampled else "of bisection",
        }
    return {
        **head,
        "binding": result.binding,
        "utilisation": result.utilisation,
        "saturation_rate_per_s": result.saturation_rate,
        "backlog": result.backlog,
        **slos,
        "curve": result.curve.to_dicts(),
    }


def text(result: Capacity | InstancesNeeded) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    yield from headlines(result)
    yield _table(result.points, result.slos)


def headlines(result: Capacity | InstancesNeeded) -> Iterator[str]:
    """The answer in a line, and what there is to say about it."""
    return _needed(result) if isinstance(result, InstancesNeeded) else _capacity(result)


def limit_text(slos: Slos, name: str) -> str:
    """A limit as people write it: ``p99_ttft <= 200 ms``."""
    if name == GOODPUT:
        held = ", ".join(f"{each.name} <= {each.limit_us / 1000:g} ms" for each in slos.per_request)
        return f"{slos.goodput:.4g} of requests with {held}"
    if name == "backlog":
        return "a backlog that does not grow"
    return f"{name} <= {slos.limit(name) / 1000:g} ms"


def value_text(name: str, value: float) -> str:
    """A figure with its unit."""
    return f"{value:.4g}" if name == GOODPUT else f"{value / 1000:.4g} ms"


def _capacity(found: Capacity) -> Iterator[str]:
    if found.verdict == "none":
        worst = found.points[0]
        yield f"No rate meets the SLOs: even at {worst.rate:.4g} {found.unit} per second {_miss(worst)}."
    elif found.verdict == "no limit":
        rate = f"{found.rate:.5g} {found.unit} per second"
        yield f"No limit was found: the SLOs are met even at {rate}, the highest rate."
    else:
        how = "" if found.is_sampled else ", by bisection alone"
        yield (
            f"Capacity: {found.rate:.5g} {found.unit} per second "
            f"(95 % interval {found.low:.5g} to {found.high:.5g}{how}); backlog: {found.backlog}"
        )
        yield f"In the way of more: {limit_text(found.slos, found.binding or '')}"
    if found.utilisation is not None:
        yield f"Utilisation: {found.utilisation:.1%} of the {found.saturation_rate:.5g} per second of a full system"


def _needed(found: InstancesNeeded) -> Iterator[str]:
    if found.num_instances is None:
        worst = max(found.points, key=lambda point: point.num_instances)
        load = f"{found.rate:g} {found.unit} per second"
        yield f"Not even {found.max_instances} instances meet the SLOs at {load}: {_miss(worst)}."
        return
    plural = "s" if found.num_instances > 1 else ""
    yield f"{found.num_instances} instance{plural} for {found.rate:g} {found.unit} per second; backlog: {found.backlog}"
    yield f"Closest to its limit: {limit_text(found.slos, found.binding)}"
    if found.utilisation is not None:
        full = f"{found.saturation_rate:.5g} per second of each full instance"
        yield f"Utilisation: {found.utilisation:.1%} of the {full}"


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
    rows = table(*columns, words=("backlog", bars), title="Load and SLOs")
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
