"""Laws of step time and policies: C functions behind addresses, which is how they come from Python.

numba takes functions as arguments, too, but looks up their types and addresses in Python at each call of the entry,
which costs more than a thousand requests. Under ``NUMBA_DISABLE_JIT=1`` a Python function stands in the place of an
address.
"""

from __future__ import annotations

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic


def _at(result, *arguments):
    """What makes a function of this signature of an int64."""
    kind = types.FunctionType(result(*arguments))

    @intrinsic
    def function_at(_context, address):
        def generate(context, builder, _signature, values):
            function = cgutils.create_struct_proxy(kind)(context, builder)
            function.c_addr = builder.inttoptr(values[0], cgutils.voidptr_t)
            function.py_addr = function.jit_addr = ir.Constant(cgutils.voidptr_t, None)
            return function._getvalue()

        return kind(address), generate

    return (lambda function: function) if config.DISABLE_JIT else function_at


_WORDS, _NUMBERS = types.CPointer(types.int64), types.CPointer(types.float64)

#: ``(address) -> function``: a law of step time, of seven aggregates and its parameters.
step_time_at = _at(types.int64, *[types.int64] * 7, _NUMBERS)
#: A decision about a request, of words, numbers and the policy's state.
decision_at = _at(types.int64, _WORDS, _NUMBERS, _NUMBERS)
#: A priority, likewise.
priority_at = _at(types.float64, _WORDS, _NUMBERS, _NUMBERS)
