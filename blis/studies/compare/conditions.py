"""Conditions on a change, such as ``p99_ttft>+5%``, under which a comparison fails."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from blis.errors import ConfigError, nearest
from blis.studies.compare.comparison import Change, Comparison

#: Names under which fitness weights know some figures.
_SHORT = {"throughput": "responses_per_sec"}
_SHORT_FORM = re.compile(r"(mean|p\d+)_(\w+)")
_CONDITION = re.compile(r"\s*(\w+)\s*([<>])\s*([+-]?\d*\.?\d+(?:[eE][+-]?\d+)?)\s*(\S*)\s*")
_EXAMPLE = "valid would be 'p99_ttft>+5%', 'ttft_p99_ms>+20ms' or 'tokens_per_sec<-3%'"
_UNITS = {"_ms": "ms", "_s": "s", "_per_sec": "/s"}


class Condition(NamedTuple):
    """A change that is too much.

    Attributes:
        text: as it was given.
        metric: key of the summary, or its short form.
        above: whether it holds for changes above the limit; otherwise for those below.
        limit: signed.
        unit: ``%`` of the first run's figure, else the figure's own.
    """

    text: str
    metric: str
    above: bool
    limit: float
    unit: str


class Failure(NamedTuple):
    """A condition that holds.

    Attributes:
        condition: as it was given.
        reason: one line for people.
    """

    condition: str
    reason: str


def parse_condition(text: str) -> Condition:
    """Read ``metric``, ``>`` or ``<``, and a signed change in percent or in the metric's unit.

    Raises:
        ConfigError: it is written otherwise.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigError(f"fail_on: {text!r} is no metric, > or <, and change; {_EXAMPLE}")
    metric, relation, number, unit = found.groups()
    if number[0] not in "+-" and float(number) != 0:
        raise ConfigError(f"fail_on: {text!r}: the change needs a sign, got {number}; {_EXAMPLE}")
    if unit not in {"%", "", *_UNITS.values()}:
        raise ConfigError(f"fail_on: {text!r}: {unit!r} is no unit; {_EXAMPLE}")
    return Condition(text, metric, relation == ">", float(number), unit)


def failures(comparison: Comparison, conditions: Iterable[Condition]) -> list[Failure]:
    """Which conditions hold, or cannot be judged because a run lacks the figure or completed no request at all.

    Raises:
        ConfigError: a metric is unknown, or has another unit.
    """
    judged = [(condition, _change_of(comparison, condition)) for condition in conditions]
    empty = " and ".join(side.name for side in (comparison.a, comparison.b) if not side.figures["completed_requests"])
    reasons = (
        (condition, _reason(condition, change) or (empty and _unmeasured(condition, empty)))
        for condition, change in judged
    )
    return [Failure(condition.text, reason) for condition, reason in reasons if reason]


def _change_of(comparison: Comparison, condition: Condition) -> Change:
    by_metric = comparison.by_metric
    metric = condition.metric
    short = _SHORT_FORM.fullmatch(metric)
    full = _SHORT.get(metric) or (f"{short[2]}_{short[1]}_ms" if short else metric)
    change = by_metric.get(metric) or by_metric.get(full)
    if change is None:
        raise ConfigError(f"fail_on: {condition.text!r}: unknown metric {metric!r}; {_nearest(metric, by_metric)}")
    unit = unit_of(change.metric)
    if condition.unit not in {"%", unit}:
        valid = f"% or {unit}" if unit else "% or none"
        raise ConfigError(
            f"fail_on: {condition.text!r}: the unit of {change.metric} is {valid}, got {condition.unit!r}"
        )
    return change


def unit_of(metric: str) -> str:
    """What a figure of the summary is measured in, by its name; empty for counts and shares."""
    return next((unit for suffix, unit in _UNITS.items() if metric.endswith(suffix)), "")


def _nearest(metric: str, metrics: Iterable[str]) -> str:
    """The nearest names, in the form in which the wrong one was given."""
    names = set(metrics)
    if re.match(r"(mean|p\d+)_", metric):
        parts = (re.fullmatch(r"(\w+)_(mean|p\d+)_ms", name) for name in names)
        names = {f"{part[2]}_{part[1]}" for part in parts if part}
    return nearest(metric, names | set(_SHORT))


def _unmeasured(condition: Condition, empty: str) -> str:
    return f"{condition.text}: cannot be judged, no request was completed in {empty}"


def _reason(condition: Condition, change: Change) -> str | None:
    """Why a condition holds; None if it does not."""
    metric = change.metric
    if change.difference is None or change.a is None:
        absent = " and ".join(name for name, value in (("A", change.a), ("B", change.b)) if value is None)
        return f"{condition.text}: cannot be judged, {metric} is unknown in {absent}"
    percent = math.copysign(math.inf, change.difference) if change.percent is None else change.percent
    size = percent if condition.unit == "%" else change.difference
    if not (size > condition.limit if condition.above else size < condition.limit):
        return None
    return f"{condition.text}: {metric} went from {change.a:g} to {change.b:g} ({percent:+.2f} %)"
