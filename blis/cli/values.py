"""How the values of flags are written: names, lists of numbers, numbers by name."""

from __future__ import annotations

import math
from typing import Any

import click

from blis.cli.completion import names_completed
from blis.config.schema import FUNCTION_FORM, is_function_name
from blis.errors import nearest

#: What vLLM takes for ``auto`` as the length of a request.
AUTO_LENGTH = -1
#: Longest target; more than any clock of a run has.
_LONGEST_MS = 1e15


def one_of(*names: str, or_function: bool = False) -> dict[str, Any]:
    """Type, metavar and completion of an option that takes one of some names; a wrong one is answered with the nearest.

    Args:
        names: lower case; the user may write them as they like.
        or_function: whether the name of a user's own function may stand instead, too; it is passed on as it is.
    """
    shown = (*names, FUNCTION_FORM) if or_function else names

    def convert(value: str) -> str:
        if or_function and is_function_name(value):
            return value
        if value.lower() not in names:
            raise click.BadParameter(f"{value!r} is unknown; {nearest(value, shown)}")
        return value.lower()

    complete = names_completed(lambda: names)
    return {"type": convert, "metavar": f"[{'|'.join(shown)}]", "shell_complete": complete}


def number_list(value: str) -> tuple[float, ...]:
    """Read comma-separated finite numbers."""
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise click.BadParameter(f"{value!r} is no list of numbers; valid would be 1.5,0.2,30")
    return numbers


def length_or_auto(value: str) -> int:
    """Read a whole number; ``auto`` is `AUTO_LENGTH`, as for vLLM."""
    if value.lower() == "auto":
        return AUTO_LENGTH
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a whole number nor auto") from None


def positive_number(value: str) -> float:
    """Read a finite number > 0."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise click.BadParameter(f"{value!r} is no number > 0")
    return number


def percentage(value: str) -> float:
    """Read a finite number >= 0 with its sign of percent."""
    try:
        number = float(value.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not value.endswith("%") or not 0 <= number < math.inf:
        raise click.BadParameter(f"{value!r} is no number of percent >= 0; valid would be 1%")
    return number


def weights_by_name(value: str) -> tuple[tuple[str, float], ...]:
    """Read ``name:weight,name:weight``; which names and weights are valid is not looked at."""
    return _numbers_by_name(value, "prefix-affinity:3,queue-depth:1")


def name_list(value: str) -> tuple[str, ...]:
    """Read comma-separated names."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def held_values(value: str) -> dict[str, float | None]:
    """Read ``name=number,name``; a name without a number is held at its usual value."""
    held: dict[str, float | None] = {}
    for part in name_list(value):
        name, has_value, text = part.partition("=")
        try:
            held[name.strip()] = float(text) if has_value else None
        except ValueError:
            raise click.BadParameter(f"{part!r} is no name=number; valid would be beta4_share=0.9") from None
    return held


def slo_targets_us(value: str) -> dict[str, int]:
    """Read ``class:ms,class:ms`` as whole µs by class, each at least 1."""
    pairs = _numbers_by_name(value, "interactive:2000,batch:60000")
    targets = {}
    for name, target_ms in pairs:
        if name in targets:
            raise click.BadParameter(f"{name} is given twice; each class takes one target")
        if not 0.001 <= target_ms <= _LONGEST_MS:
            raise click.BadParameter(
                f"target of {name} must be a number of ms from 0.001 to {_LONGEST_MS:g}, got {target_ms:g}"
            )
        targets[name] = round(target_ms * 1000)
    return targets


def seconds_range(value: str) -> tuple[float, float]:
    """Read ``START:END`` in seconds; either may be missing."""
    start, colon, end = value.partition(":")
    try:
        found = float(start or 0.0), float(end or math.inf)
    except ValueError:
        found = math.nan, math.nan
    if not colon or not 0 <= found[0] < found[1]:
        raise click.BadParameter(f"{value!r} is no START:END with 0 <= START < END; valid would be 10:20")
    return found


def fitness_weights(value: str) -> dict[str, float]:
    """Read ``key:weight,key:weight``; keys are those of the fitness components."""
    from blis.outcomes.metrics.fitness import parse_fitness_weights

    return parse_fitness_weights(value)


def _numbers_by_name(value: str, example: str) -> tuple[tuple[str, float], ...]:
    pairs = []
    for part in value.split(","):
        name, _, text = part.rpartition(":")
        try:
            number = float(text)
        except ValueError:
            name = ""
        if not name.strip():
            raise click.BadParameter(f"{part.strip()!r} is no name:number; valid would be {example}")
        pairs.append((name.strip(), number))
    return tuple(pairs)
