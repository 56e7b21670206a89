"""Structs behind addresses: how compiled code reads what Python has put into memory.

To compiled code a struct is its address. `blis._core.layout` says what lies behind it, and Python keeps that alive.
What a field holds (a number, where an array begins, its shape, where another struct begins) never changes while
compiled code runs, only what is in the arrays does. LLVM is told so: it reads a field once, not after every store.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model

from blis._core import state
from blis._core.columns import Column, column_of

_NAMES = {name: getattr(types, name) for name in ("float64", "int8", "int32", "int64")}
_WORD = ir.IntType(64)


class _Struct(types.Type):
    """The numba type of a struct: by name the type of each field, and which of the struct's words is its first."""

    def __init__(self, kind: type, others: Mapping[str, Any]) -> None:
        super().__init__(kind.__name__)
        self.fields: dict[str, tuple[Any, int]] = {}
        word = 0
        for name, annotation in kind.__annotations__.items():
            element, _, dimensions = annotation.partition("[")
            field: Any
            if dimensions:
                field = Column(_NAMES[element], dimensions.count(",") + 1)
            else:
                field = _NAMES[element] if element in _NAMES else _Struct(others[element], others)
            self.fields[name] = field, word
            word += 1 + field.ndim if isinstance(field, Column) else 1


register_model(_Struct)(models.OpaqueModel)


@infer_getattr
class _Fields(AttributeTemplate):
    key = _Struct

    def generic_resolve(self, struct: Any, name: str) -> Any:  # type: ignore[override]
        """The type of a field."""
        return struct.fields[name][0] if name in struct.fields else None


@lower_getattr_generic(_Struct)
def _field(context: Any, builder: Any, struct: _Struct, address: Any, name: str) -> Any:
    """Read a field."""
    field, word = struct.fields[name]
    kind = context.get_value_type(field)
    if isinstance(field, Column):
        shape = [_read(builder, address, word + 1 + i) for i in range(field.ndim)]
        return column_of(builder, kind, builder.inttoptr(_read(builder, address, word), kind.elements[0]), shape)
    value = _read(builder, address, word)
    return builder.inttoptr(value, kind) if isinstance(field, _Struct) else value


def _read(builder: Any, address: Any, word: int) -> Any:
    """A word of a struct."""
    where = builder.gep(builder.bitcast(address, _WORD.as_pointer()), [ir.Constant(_WORD, word)], inbounds=True)
    read = builder.load(where)
    read.set_metadata("invariant.load", builder.module.add_metadata([]))
    return read


def struct_at(kind: type, others: Mapping[str, Any]) -> Any:
    """What makes a struct of its address; of its `id` in plain Python.

    Args:
        kind: a class made by `blis._core.layout.struct`.
        others: the structs in its fields, by name.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return lambda number: ctypes.cast(int(number), ctypes.py_object).value
    struct = _Struct(kind, others)

    @intrinsic
    def at(_context, address):
        return struct(address), _from_number

    return at


@intrinsic
def _words_at(_context, address):
    return types.CPointer(types.int64)(address), _from_number


def _from_number(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """An address is given as a number."""
    return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))


def _same(words):
    return words


#: ``(address) -> words``.
words_at: Any = _same if config.DISABLE_JIT else _words_at  # type: ignore[attr-defined]
#: ``(address) -> struct``, for as long as Python keeps its memory.
borrow = struct_at(state.Instance, vars(state))
cluster_at = struct_at(state.Cluster, vars(state))
