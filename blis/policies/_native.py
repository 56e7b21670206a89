"""How a user's function becomes one that the engine can call: compiled, or as a callback into Python.

Both are of one type to numba, so that the engine is compiled once for all of them.
"""

from __future__ import annotations

import ctypes
import re
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from numba import carray, cfunc, float64, int64, njit, typeof, types  # type: ignore[attr-defined]
from numba.core.errors import NumbaWarning
from numba.extending import intrinsic

from blis._core.codes import VIEW_HEADER, ViewColumn, ViewNumber, ViewWord
from blis.latency.law import step_time_signature
from blis.policies._seams import MOST_STEP_US, Kind, Seam
from blis.policies._views import REQUEST_WORDS, Batch, Request, column_place, instances_type
from blis.policies.policy import decision_signature, priority_signature

_WrapperAddressProtocol: Any = types.WrapperAddressProtocol


#: Without wrappers for Python, which nobody calls, compiling takes half the time.
_USER_OPTIONS: Any = {
    "boundscheck": True,
    "error_model": "numpy",
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


class NotCompilableError(Exception):
    """numba can't compile a function; the message says why in few words."""


class PythonCallback(_WrapperAddressProtocol):  # type: ignore[misc]
    """A Python function that compiled code can call through a pointer; 1 to 3 µs a call.

    Args:
        function: gets integers, addresses among them, and never raises.
        seam: where it is called.
    """

    def __init__(self, function: Callable[..., float], seam: Seam) -> None:
        self._signature = _signature(seam.kind)
        self._callback = ctypes.CFUNCTYPE(*seam.c_types)(function)

    def __wrapper_address__(self) -> int:
        return ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    def signature(self) -> Any:
        """The numba signature."""
        return self._signature


def compile_user(function: Callable[..., Any], seam: Seam, reads: tuple[str, ...], num_parameters: int) -> Any:
    """Compile a user's function and what unpacks its arguments and checks its answer.

    Args:
        function: the user's.
        seam: where it is called.
        reads: columns of the instances that it sees.
        num_parameters: how many numbers a step-time law is given.

    Raises:
        NotCompilableError: if numba can't, or the function may return something that is no answer.
    """
    names = seam.parameters_of(function.__code__.co_argcount)
    types_ = tuple(typeof(_sample(name, reads)) for name in names)  # type: ignore[no-untyped-call]
    compiled: Any = njit(**_USER_OPTIONS)(function)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaWarning)
            compiled.compile(types_)
    except Exception as error:  # numba fails in more ways than it has errors for
        raise NotCompilableError(_reason(error, function.__code__.co_filename)) from None
    result = compiled.overloads[types_].signature.return_type
    if not isinstance(result, _ANSWER_TYPES[seam.kind]):
        raise NotCompilableError(f"it returns {result}, expected {seam.expected}")
    wrapper = _wrapper(compiled, seam, names, reads, num_parameters)
    callable_ = cfunc(_signature(seam.kind))(wrapper)
    del wrapper.__globals__["function"]  # numba's dispatcher would keep the user's module alive for ever
    return callable_


@intrinsic
def frozen(context: Any, array: Any) -> Any:
    """The same array, which compiled code can't write to."""
    from numba.core.imputils import impl_ret_borrowed

    readonly = array.copy(readonly=True)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return impl_ret_borrowed(  # type: ignore[no-untyped-call]
            context, builder, readonly, arguments[0]
        )

    return readonly(array), generate


def _signature(kind: Kind) -> Any:
    if kind == "step-time":
        return step_time_signature()
    return priority_signature() if kind == "priority" else decision_signature()


_ANSWER_TYPES: dict[Kind, Any] = {
    "admission": (types.Boolean, types.Integer, types.Float),
    "routing": types.Integer,
    "priority": (types.Boolean, types.Integer, types.Float),
    "step-time": (types.Boolean, types.Integer, types.Float),
}

#: How the wrapper turns the function's answer into the engine's; the same as `Seam.answer`.
_ANSWERS: dict[Kind, str] = {
    "admission": "return FAILED if answer != answer else int64(1) if answer else int64(0)",
    "routing": "return int64(answer)",
    "priority": "return float64(answer)",
    "step-time": "return int64(answer) if 0.0 <= answer <= MOST_STEP_US else FAILED",
}

_SOURCE = """
def decide({arguments}):
    {unpack}
    try:
        answer = function({values})
    except Exception:
        return FAILED
    {answer}
"""

_UNPACK = """n = words[NUM_INSTANCES]
    integers = carray(words, (VIEW_HEADER + NUM_COLUMNS * n,))
    reals = carray(numbers, (NUM_NUMBERS * n,))
    own = carray(state, (words[STATE_LENGTH],))"""


def _wrapper(
    compiled: Any, seam: Seam, names: tuple[str, ...], reads: tuple[str, ...], num_parameters: int
) -> FunctionType:
    """The function behind the engine's pointer: numba can't unpack by a list of names, so it is written out."""
    aggregates = ", ".join(Batch._fields)
    is_law = seam.kind == "step-time"
    source = _SOURCE.format(
        arguments=f"{aggregates}, numbers" if is_law else "words, numbers, state",
        unpack="own = frozen(carray(numbers, (NUM_PARAMETERS,)))" if is_law else _UNPACK,
        values=", ".join(_value(name, reads) for name in names),
        answer=_ANSWERS[seam.kind],
    )
    namespace: dict[str, Any] = {
        "function": compiled,
        "carray": carray,
        "frozen": frozen,
        "int64": int64,
        "float64": float64,
        "Request": Request,
        "Batch": Batch,
        "Instances": instances_type(reads),
        "FAILED": seam.failed,
        "MOST_STEP_US": MOST_STEP_US,
        "NUM_PARAMETERS": num_parameters,
        "NUM_INSTANCES": int(ViewWord.NUM_INSTANCES),
        "STATE_LENGTH": int(ViewWord.STATE_LENGTH),
        "VIEW_HEADER": VIEW_HEADER,
        "NUM_COLUMNS": len(ViewColumn),
        "NUM_NUMBERS": len(ViewNumber),
    }
    exec(source, namespace)
    decide: FunctionType = namespace["decide"]
    return decide


def _value(name: str, reads: tuple[str, ...]) -> str:
    """How the wrapper makes what the function gets as its parameter of that name."""
    if name == "request":
        return f"Request({', '.join(f'words[{word}]' for word in REQUEST_WORDS)})"
    if name == "instances":
        columns = "".join(f", frozen({_slice(*column_place(column))})" for column in reads)
        return f"Instances(words[{ViewWord.NOW_US:d}], n{columns})"
    values = {
        "now_us": f"words[{ViewWord.NOW_US:d}]",
        "state": "own",
        "scores": _slice(False, ViewNumber.SCORE),
        "batch": f"Batch({', '.join(Batch._fields)})",
        "parameters": "own",
    }
    return values[name]


def _slice(is_word: bool, column: int) -> str:
    if is_word:
        return f"integers[VIEW_HEADER + {column:d} * n:VIEW_HEADER + {column + 1:d} * n]"
    return f"reals[{column:d} * n:{column + 1:d} * n]"


def _sample(name: str, reads: tuple[str, ...]) -> Any:
    """Something of the type that the function gets as its parameter of that name."""
    integers, numbers = np.zeros(1, np.int64), np.zeros(1)
    integers.flags.writeable = False
    readonly = numbers.copy()
    readonly.flags.writeable = False
    if name == "instances":
        return instances_type(reads)(0, 0, *(integers if column_place(column)[0] else readonly for column in reads))
    samples = {
        "request": Request(*[0] * len(Request._fields)),
        "now_us": 0,
        "state": numbers,
        "scores": numbers,
        "batch": Batch(*[0] * len(Batch._fields)),
        "parameters": readonly,
    }
    return samples[name]


_MOST_REASON = 120


def _reason(error: Exception, path: str) -> str:
    """The point of numba's many lines, and the line of the user's file where it is."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    rejected = re.search(r"Numba\w*Error: (.*)", text)
    lines = [line.strip() for line in text.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Failed in", "During:"))]
    point = rejected[1] if rejected else telling[0] if telling else type(error).__name__
    line = re.search(re.escape(path) + r" \((\d+)\)", text)
    return (f"line {line[1]}: " if line else "") + point.removesuffix(".. Raised from None")[:_MOST_REASON]
