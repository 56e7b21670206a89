"""Laws of step time and policies: C functions behind addresses, called with words, numbers and addresses of arrays.

numba has types for functions, but looks up addresses in Python, and its calls may fail: code that cannot fail is
shorter and needs nothing of numba once it is compiled. In plain Python a function stands in the place of an address.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic


def _call(result, address, arguments):
    """Type and code of a call of what is at an address, with int64 or addresses."""
    word = ir.IntType(64)  # C hands over pointers in the same way

    def generate(context, builder, _signature, values):
        kind = ir.FunctionType(context.get_value_type(result), [word] * len(arguments))
        return builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])

    return result(address, *arguments), generate


@intrinsic
def _step_time(_context, address, a, b, c, d, e, f, g, parameters):
    return _call(types.int64, address, (a, b, c, d, e, f, g, parameters))


@intrinsic
def _decide(_context, address, words, numbers, state):
    return _call(types.int64, address, (words, numbers, state))


@intrinsic
def _priority_of(_context, address, words, numbers, state):
    return _call(types.float64, address, (words, numbers, state))


def _answer(function, *arguments):
    return function(*arguments)


_IS_PLAIN = config.DISABLE_JIT  # type: ignore[attr-defined]
#: ``(address, *seven aggregates, parameters) -> int64``: what a law of step time says.
step_time: Any = _answer if _IS_PLAIN else _step_time
#: ``(address, words, numbers, state) -> int64``: what a policy of admission or routing answers.
decide: Any = _answer if _IS_PLAIN else _decide
#: ``(address, words, numbers, state) -> float64``: what a priority policy answers.
priority_of: Any = _answer if _IS_PLAIN else _priority_of
