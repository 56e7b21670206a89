"""Which unit times have that do not say so: by the form of the file, by the calendar, or by plausibility."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blis.workload.convert.options import TIME_UNITS, TimeUnit
from blis.workload.convert.source import Source

#: What each unit is called in messages.
NAMES: Mapping[TimeUnit, str] = {"s": "seconds", "ms": "ms", "us": "µs", "ns": "ns"}

#: 2001 to 2099, in seconds since 1970.
_CALENDAR_S = (978_307_200, 4_070_908_800)
#: Recorded traces have such rates (requests per second), and last longer than this (s).
_RATES, _LEAST_SPAN_S = (0.1, 30.0), 1.0
#: Shorter times are nothing that anybody measures.
_RESOLUTION_S = 1e-9
#: How implausible a unit is, in powers of ten: another one within this is hardly less plausible, and nothing is
#: taken that is beyond that.
_CLOSE, _MOST_IMPLAUSIBLE = 1.0, 3.0


@dataclass(frozen=True)
class Form:
    """What is known of the unit from what kind of file it is.

    Attributes:
        unit: of its times.
        why: how it is known.
        sure: whether that settles it; else files that look alike have other units.
    """

    unit: TimeUnit
    why: str
    sure: bool


def decide_unit(source: Source, field: str, times: Sequence[int | float], form: Form) -> TimeUnit:
    """Say which unit times have, and note what speaks for and against it.

    Args:
        source: where that is noted; its options come first.
        field: what the times are called.
        times: the first ones of the file, as they stand there.
        form: what kind of file it is.

    Raises:
        WorkloadError: there is no telling.
    """
    if source.options.time_unit is not None:
        return source.options.time_unit
    since_1970 = {_calendar_unit(time) for time in times}
    if None not in since_1970 and len(since_1970) > 1:
        units = " and ".join(NAMES[unit] for unit in TIME_UNITS if unit in since_1970)
        raise source.error(f"{field}: times since 1970 in {units}, mixed; {_choices(source)}")
    for unit in since_1970:
        if unit is not None and len(since_1970) == 1:
            form = Form(unit, "they are dates since 1970", sure=True)
    if min(times) == max(times):
        source.assume(f"{field}: taken as {NAMES[form.unit]}: {form.why}")
        return form.unit
    costs = {unit: _implausibility(times, unit) for unit in TIME_UNITS}
    best = form.unit if form.sure else min(TIME_UNITS, key=lambda unit: (costs[unit], unit != form.unit))
    if not form.sure and costs[best] > _MOST_IMPLAUSIBLE:
        rates = ", ".join(f"{_rate(times, unit):.3g} in {NAMES[unit]}" for unit in TIME_UNITS)
        raise source.error(f"{field}: in which unit? Requests per second would be {rates}; {_choices(source)}")
    _note(source, field, times, best, form, costs)
    return best


def _note(
    source: Source,
    field: str,
    times: Sequence[int | float],
    unit: TimeUnit,
    form: Form,
    costs: Mapping[TimeUnit, float],
) -> None:
    why = (
        form.why
        if unit == form.unit
        else f"as {NAMES[form.unit]}, {form.why}, they would give {_told(times, form.unit)}"
    )
    source.assume(f"{field}: taken as {NAMES[unit]}: {why}")
    margin = -_CLOSE if form.sure else _CLOSE
    others = [other for other in TIME_UNITS if other != unit and costs[other] < costs[unit] + margin]
    if unit == form.unit and not others:
        return
    other = min(others or [form.unit], key=lambda other: costs[other])
    source.doubt(
        f"{field}: taken as {NAMES[unit]}, {_told(times, unit)}; in {NAMES[other]} it would be {_told(times, other)};"
        f" {source.option('time-unit')} decides"
    )


def _choices(source: Source) -> str:
    return f"{source.option('time-unit')} takes {', '.join(TIME_UNITS)}"


def _calendar_unit(time: float) -> TimeUnit | None:
    """In which unit a number is a date of these days, if in any."""
    since, until = _CALENDAR_S
    return next((unit for unit in TIME_UNITS if since <= time * TIME_UNITS[unit] / 1e6 <= until), None)


def _implausibility(times: Sequence[int | float], unit: TimeUnit) -> float:
    """By how many powers of ten rate and length are beyond what recorded traces have; fractions of ms count as one."""
    rate = _rate(times, unit)
    cost = max(0.0, math.log10(_RATES[0] / rate), math.log10(rate / _RATES[1]))
    cost += max(0.0, math.log10(_LEAST_SPAN_S / _span_s(times, unit)))
    return cost + (unit != "s" and any(time % 1 for time in times))


def _span_s(times: Sequence[int | float], unit: TimeUnit) -> float:
    return max((max(times) - min(times)) * TIME_UNITS[unit] / 1e6, _RESOLUTION_S)


def _rate(times: Sequence[int | float], unit: TimeUnit) -> float:
    return (len(times) - 1) / _span_s(times, unit)


def _told(times: Sequence[int | float], unit: TimeUnit) -> str:
    return f"{_rate(times, unit):.3g} requests/s over {_span_s(times, unit):.3g} s"
