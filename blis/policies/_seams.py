"""The four places where users' functions plug in: what each is given, and what it may answer."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from blis._core.codes import RAISED
from blis.errors import ConfigError

Kind = Literal["admission", "routing", "priority", "step-time"]

#: Steps longer than 35 years are a mistake, and would lead out of the clock.
MOST_STEP_US = 2.0**50


class UnusableAnswerError(Exception):
    """What a function returned is no answer."""


@dataclass(frozen=True)
class Seam:
    """One of the four places.

    Attributes:
        kind: its name.
        decorator: what marks functions for it, in ``blis``.
        option: the option whose value names a function; begins messages about that.
        parameters: what functions get.
        optional: what they get besides if they have parameters for it.
        expected: what they return, in words.
        answer: turns what they return into what the engine gets; raises `UnusableAnswerError`.
        failed: what the engine gets if they fail.
        c_types: of the result and of the arguments.
    """

    kind: Kind
    decorator: str
    option: str
    parameters: tuple[str, ...]
    optional: tuple[str, ...]
    expected: str
    answer: Callable[[Any], float]
    failed: float
    c_types: tuple[Any, ...]

    def parameters_of(self, count: int) -> tuple[str, ...]:
        """What a function with so many parameters gets."""
        return (self.parameters + self.optional)[:count]

    def check_count(self, where: str, signature: str, count: int) -> None:
        """Refuse a function with another number of parameters."""
        least, most = len(self.parameters), len(self.parameters + self.optional)
        if not least <= count <= most:
            optional = "".join(f"[, {name}]" for name in self.optional)
            raise ConfigError(f"{where}: takes {signature}, expected ({', '.join(self.parameters)}{optional})")


def _number(value: Any) -> float:
    if not isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        raise UnusableAnswerError
    return float(value)


def _admits(value: Any) -> int:
    number = _number(value)
    if math.isnan(number):
        raise UnusableAnswerError
    return int(number != 0)


def _index(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or abs(int(value)) >= -RAISED:
        raise UnusableAnswerError
    return int(value)


def _priority(value: Any) -> float:
    number = _number(value)
    if not math.isfinite(number):
        raise UnusableAnswerError
    return number


def _step_us(value: Any) -> int:
    number = _number(value)
    if not 0 <= number <= MOST_STEP_US:  # also refuses nan
        raise UnusableAnswerError
    return int(number)


_DECISION = (ctypes.c_int64, *[ctypes.c_void_p] * 3)

SEAMS: dict[Kind, Seam] = {
    "admission": Seam(
        "admission",
        "admission_policy",
        "admission_policy",
        ("request", "instances", "state"),
        (),
        "true (admit) or false",
        _admits,
        RAISED,
        _DECISION,
    ),
    "routing": Seam(
        "routing",
        "routing_policy",
        "routing_policy",
        ("request", "instances", "state"),
        ("scores",),
        "the index of an instance, an integer",
        _index,
        RAISED,
        _DECISION,
    ),
    "priority": Seam(
        "priority",
        "priority_policy",
        "priority_policy",
        ("request", "now_us", "state"),
        (),
        "a finite number, the higher the more urgent",
        _priority,
        math.nan,
        (ctypes.c_double, *[ctypes.c_void_p] * 3),
    ),
    "step-time": Seam(
        "step-time",
        "step_time",
        "latency_model",
        ("batch", "parameters"),
        (),
        f"µs in [0, {MOST_STEP_US:g}]",
        _step_us,
        RAISED,
        (ctypes.c_int64, *[ctypes.c_int64] * 7, ctypes.c_void_p),
    ),
}
