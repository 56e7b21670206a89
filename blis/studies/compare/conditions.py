"""Conditions on a change, such as ``p99_ttft>+5%``, under which a comparison fails."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from blis.errors import ConfigError, nearest
from blis.studies.compare.comparison import Change, Comparison, Comparisons
from blis.studies.compare.targets import ATTAINMENT, GOODPUT

#: Names under which fitness weights know some figures.
_SHORT = {"throughput": "responses_per_sec", "goodput": GOODPUT}
_SHORT_FORM = re.compile(r"(mean|p\d+)_(\w+)")
_CONDITION = re.compile(r"\s*(\w[^<>=\s]*)\s*([<>])\s*([+-]?\d*\.?\d+(?:[eE][+-]?\d+)?)\s*(\S*)\s*")
_EXAMPLE = "valid would be 'p99_ttft>+5%', 'ttft_p99_ms>+20ms' or 'goodput<-3%'"
_UNITS = {"_ms": "ms", "_s": "s", "_per_sec": "/s"}


class Condition(NamedTuple):
    """A change that is too much.

    Attributes:
        text: as it was given.
        metric: key of the summary, or its short form.
        above: whether it holds for changes above the limit; otherwise for those below.
        limit: signed.
        unit: ``%`` of the baseline's figure, else the figure's own.
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


def failures(comparison: Comparison | Comparisons, conditions: Iterable[Condition]) -> list[Failure]:
    """Which conditions hold, or cannot be judged because a run lacks the figure or completed no request at all.

    Of several runs each must keep all conditions, and reasons say which one did not.

    Raises:
        ConfigError: a metric is unknown, or has another unit.
    """
    if isinstance(comparison, Comparison):
        return _failures(comparison, conditions)
    conditions = list(conditions)
    return [
        failure._replace(reason=f"{pair.b.label}: {failure.reason}")
        for pair in comparison.pairs
        for failure in _failures(pair, conditions)
    ]


def _failures(comparison: Comparison, conditions: Iterable[Condition]) -> list[Failure]:
    judged = [(condition, _change_of(comparison, condition)) for condition in conditions]
    empty = " and ".join(side.name for side in (comparison.a, comparison.b) if not side.figures["completed_requests"])
    labels = comparison.a.label, comparison.b.label
    reasons = (
        (condition, _reason(condition, change, labels) or (empty and _unmeasured(condition, empty)))
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
        raise ConfigError(f"fail_on: {condition.text!r}: {_unknown(metric, full, by_metric)}")
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


def _unknown(metric: str, full: str, by_metric: Mapping[str, Change]) -> str:
    """Why there is no such figure."""
    if ATTAINMENT not in by_metric and (full == GOODPUT or full.partition(".")[0] == ATTAINMENT):
        return f"no run has targets of SLO classes, which {metric} needs; give --slo-targets CLASS:MS"
    return f"unknown metric {metric!r}; {_nearest(metric, by_metric)}"


def _nearest(metric: str, metrics: Iterable[str]) -> str:
    """The nearest names, in the form in which the wrong one was given."""
    names = set(metrics)
    if re.match(r"(mean|p\d+)_", metric):
        parts = (re.fullmatch(r"(\w+)_(mean|p\d+)_ms", name) for name in names)
        names = {f"{part[2]}_{part[1]}" for part in parts if part}
    return nearest(metric, names | set(_SHORT))


def _unmeasured(condition: Condition, empty: str) -> str:
    return f"{condition.text}: cannot be judged, no request was completed in {empty}"


def _reason(condition: Condition, change: Change, labels: tuple[str, str]) -> str | None:
    """Why a condition holds; None if it does not."""
    metric = change.metric
    if change.difference is None or change.a is None:
        absent = " and ".join(label for label, value in zip(labels, (change.a, change.b), strict=True) if value is None)
        return f"{condition.text}: cannot be judged, {metric} is unknown in {absent}"
    percent = math.copysign(math.inf, change.difference) if change.percent is None else change.percent
    size = percent if condition.unit == "%" else change.difference
    if not (size > condition.limit if condition.above else size < condition.limit):
        return None
    return f"{condition.text}: {metric} went from {change.a:g} to {change.b:g} ({percent:+.2f} %)"
