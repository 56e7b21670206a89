"""Structs behind addresses: numbers from Python become jitclass objects, without owner and without counting references.

Compiled code cannot index a collection of jitclass objects without counting references, which kernels do not do.
Python makes the memory of every struct (`blis._core.layout`) and keeps it alive; kernels borrow it.
"""

from __future__ import annotations

import ctypes
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel import default_manager  # type: ignore[attr-defined]
from numba.core.registry import cpu_target
from numba.experimental import jitclass  # type: ignore[attr-defined]
from numba.extending import intrinsic

from blis._core import state
from blis._core.layout import ARRAY

_NAMES = {name: getattr(types, name) for name in ("float64", "int8", "int32", "int64")}
_compiled: dict[str, Any] = {}


def compiled_struct(kind: type) -> Any:
    """The numba type of a struct.

    Raises:
        TypeError: it would not lie in memory as `blis._core.layout` has it.
    """
    if kind.__name__ not in _compiled:
        fields = kind.__annotations__.items()
        spec = [(name, _field_type(annotation)) for name, annotation in fields]
        copy: Any = jitclass(spec)(
            type(kind.__name__, (), {"__init__": vars(kind)["__init__"]})
        )  # the class itself stays plain
        _compiled[kind.__name__] = copy.class_type
        _check(kind, spec)
    return _compiled[kind.__name__].instance_type


def _field_type(annotation: str) -> Any:
    if annotation.partition("[")[0] in _NAMES:
        return eval(annotation, dict(_NAMES))  # ours: "int64[::1]"
    return compiled_struct(getattr(state, annotation))


def _check(kind: type, spec: list[tuple[str, Any]]) -> None:
    context = cpu_target.target_context
    words = 0
    for _, field in spec:
        if isinstance(field, types.Array):
            fields: Any = default_manager.lookup(field)._fields
            if tuple(fields) != ARRAY:
                raise TypeError(f"numba describes an array by {fields}, not by {ARRAY}")
            words += len(ARRAY) - 2 + 2 * field.ndim
        else:
            words += 1 if field is types.int64 else 2
    data = types.ClassDataType(_compiled[kind.__name__])
    size = context.get_abi_sizeof(context.get_data_type(data))
    if size != 8 * words:
        raise TypeError(f"{kind.__name__} takes {size} bytes, not {8 * words}")


def _struct_at(kind: type) -> Any:
    """What makes a struct of its address; of its `id` in plain Python."""
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return lambda number: ctypes.cast(int(number), ctypes.py_object).value
    instance_type = compiled_struct(kind)

    @intrinsic
    def struct_at(_context, address):
        def generate(context, builder, _signature, arguments):
            proxy = cgutils.create_struct_proxy(instance_type)(context, builder)
            proxy.meminfo = ir.Constant(proxy.meminfo.type, None)
            proxy.data = builder.inttoptr(arguments[0], proxy.data.type)
            return proxy._getvalue()

        return instance_type(address), generate

    return struct_at


@intrinsic
def _words_at(_context, address):
    pointer = types.CPointer(types.int64)

    def generate(context, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(address), generate


def _same(words):
    return words


#: ``(address) -> words``.
words_at: Any = _same if config.DISABLE_JIT else _words_at  # type: ignore[attr-defined]
#: ``(address) -> struct``, for as long as Python keeps its memory.
borrow = _struct_at(state.Instance)
cluster_at = _struct_at(state.Cluster)
