"""Arrays as compiled code has them: where they begin and their shape.

They lie in memory as numpy's contiguous ones do. numba's own arrays can do more, and look at each access whether an
index is negative. Here none ever is: what may be `blis._core.codes.NONE` is compared before it is used as an index.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_global
from numba.extending import infer_getattr, lower_builtin, lower_getattr, models, register_model, type_callable


class Column(types.Type):
    """The numba type of an array with so many dimensions."""

    def __init__(self, dtype: Any, ndim: int) -> None:
        super().__init__(f"{dtype}_{ndim}d")
        self.dtype, self.ndim = dtype, ndim

    def at(self, index: Any) -> tuple[Any, Any]:
        """Type of what an index, or a tuple of them, refers to: an item or a row; and the type they are taken for."""
        if isinstance(index, types.BaseTuple):
            return self._row(len(index)), types.UniTuple(types.int64, len(index))
        return self._row(1), types.int64

    def _row(self, given: int) -> Any:
        return self.dtype if given == self.ndim else Column(self.dtype, self.ndim - given)


@register_model(Column)
class _Model(models.StructModel):
    def __init__(self, manager: Any, column: Column) -> None:
        shape = types.UniTuple(types.int64, column.ndim)
        super().__init__(manager, column, [("data", types.CPointer(column.dtype)), ("shape", shape)])


def column_of(builder: Any, kind: Any, data: Any, shape: list[Any]) -> Any:
    """A value of LLVM's type ``kind``, with its data and shape."""
    value = builder.insert_value(ir.Constant(kind, None), data, 0)
    for i, size in enumerate(shape):
        value = builder.insert_value(value, size, (1, i))
    return value


def _place(builder: Any, value: Any, index: Any) -> tuple[Any, list[Any]]:
    """Address of what an index refers to, and its shape: none if it is an item."""
    shape = [builder.extract_value(value, (1, i)) for i in range(value.type.elements[1].count)]
    given = [index]
    if not isinstance(index.type, ir.IntType):
        given = [builder.extract_value(index, i) for i in range(index.type.count)]
    place = given[0]
    for i, size in enumerate(shape[1:], start=1):
        place = builder.mul(place, size)
        if i < len(given):
            place = builder.add(place, given[i])
    return builder.gep(builder.extract_value(value, 0), [place], inbounds=True), shape[len(given) :]


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    key = operator.getitem

    def generic(self, args: Any, _kws: Any) -> Any:
        """``column[index]``."""
        column, index = args
        if not isinstance(column, Column):
            return None
        item, index = column.at(index)
        return item(column, index)


@lower_builtin(operator.getitem, Column, types.Any)
def _get_item(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    place, shape = _place(builder, *arguments)
    if not shape:
        return context.unpack_value(builder, signature.return_type, place)
    return column_of(builder, context.get_value_type(signature.return_type), place, shape)


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    key = operator.setitem

    def generic(self, args: Any, _kws: Any) -> Any:
        """``column[index] = item``, or the same in all places of a row."""
        column, index, _ = args
        if not isinstance(column, Column):
            return None
        return types.none(column, column.at(index)[1], column.dtype)


@lower_builtin(operator.setitem, Column, types.Any, types.Any)
def _set_item(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
    value, index, item = arguments
    dtype = signature.args[2]
    place, shape = _place(builder, value, index)
    if not shape:
        context.pack_value(builder, dtype, item, place)
        return
    with cgutils.for_range(builder, functools.reduce(builder.mul, shape)) as loop:
        context.pack_value(builder, dtype, item, builder.gep(place, [loop.index], inbounds=True))


@type_callable(len)
def _type_len(_context: Any) -> Any:
    return lambda column: types.int64 if isinstance(column, Column) else None


@lower_builtin(len, Column)
def _len(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    return builder.extract_value(arguments[0], (1, 0))


@infer_getattr
class _Attributes(AttributeTemplate):
    key = Column

    def resolve_shape(self, column: Column) -> Any:
        """``column.shape``."""
        return types.UniTuple(types.int64, column.ndim)


@lower_getattr(Column, "shape")
def _shape(_context: Any, builder: Any, _column: Column, value: Any) -> Any:
    return builder.extract_value(value, 1)
