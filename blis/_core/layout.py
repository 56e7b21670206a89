"""Structs: named arrays, numbers and other structs, and how they lie in memory where compiled code looks for them.

A struct is one int64 word after the other: a number is itself, an array is where it begins and its shape, and a struct
within is where that begins. `blis._core.handles` reads them.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: In the place of dimensions; an array has one at least.
_NUMBER, _STRUCT = 0, -1


def struct(cls: type) -> type:
    """Give an annotated class a constructor that takes the fields in order, as a dataclass's does."""
    fields = list(cls.__annotations__)
    body = "".join(f"    self.{field} = {field}\n" for field in fields)
    namespace: dict[str, Any] = {}
    exec(f"def __init__(self, {', '.join(fields)}):\n{body}", namespace)
    cls.__init__ = namespace["__init__"]  # type: ignore[misc]
    return cls


class Struct(NamedTuple):
    """One struct in memory, or several.

    Attributes:
        words: (w,) its words, or (n, w).
        values: what is in it, which stays alive as long as this.
    """

    words: NDArray[np.int64]
    values: Mapping[str, Any]


def struct_of(kind: type, values: Mapping[str, Any]) -> Struct:
    """Put a struct into memory.

    Args:
        kind: a class made by `struct`.
        values: an array, a number or a `Struct` for each of its fields.

    Raises:
        TypeError: an array is of another type than the field, or not contiguous.
    """
    words: list[int] = []
    for name, dtype, ndim in _fields(kind):
        value = values[name]
        if ndim > 0:
            words += _array(kind, name, dtype, ndim, value, value.shape)
        else:
            words.append(value if ndim == _NUMBER else address_of(value.words))
    return Struct(np.array(words, np.int64), values)


def structs_of(kind: type, values: Mapping[str, Any], count: int, shared: Container[str]) -> Struct:
    """Put several structs into memory, as `struct_of` does one.

    Args:
        kind: a class made by `struct`.
        values: arrays have a first axis of ``count`` rows, one for each struct, and so do structs.
        count: how many.
        shared: fields in which all get the same.
    """
    words: list[int] = []
    steps: list[tuple[int, int]] = []  # from one struct to the next: data of arrays lie one behind the other
    for name, dtype, ndim in _fields(kind):
        value = values[name] if ndim > 0 else values[name].words
        if name not in shared:
            steps.append((len(words), value.strides[0]))
        if ndim == _STRUCT:
            words.append(address_of(value))
        else:
            words += _array(kind, name, dtype, ndim, value, value.shape[name not in shared :])
    rows = np.empty((count, len(words)), np.int64)
    rows[:] = words
    if count > 1:
        for word, step in steps:
            rows[:, word] += step * np.arange(count)
    return Struct(rows, values)


def _array(
    kind: type, name: str, dtype: np.dtype[Any], ndim: int, value: NDArray[Any], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """What stands for an array of this shape, or for one of this shape at its beginning."""
    found = value.dtype
    if (found is not dtype and found != dtype) or len(shape) != ndim or not is_contiguous(value, shape):
        wanted, text = kind.__annotations__[name], f"{found} of {len(shape)} dimensions"
        raise TypeError(f"{kind.__name__}.{name}: must be {wanted} and contiguous, got {text}")
    return address_of(value) if value.size else 0, *shape


def is_contiguous(array: NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Whether an array, or each along its first axis, lies in one piece."""
    return array.flags.c_contiguous or (len(shape) < array.ndim and array[0].flags.c_contiguous)


def addresses_of(struct: Struct) -> NDArray[np.int64]:
    """Where each of several structs begins."""
    words = struct.words
    return address_of(words) + words.strides[0] * np.arange(len(words))


def address_of(array: NDArray[Any]) -> int:
    """Where a contiguous array begins."""
    try:  # a third of the time
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only, or empty
        return array.ctypes.data


@functools.cache
def _fields(kind: type) -> list[tuple[str, np.dtype[Any], int]]:
    """Name, element type and dimensions of the fields; from "int64", "int32[:, ::1]", or the name of a struct."""
    fields = []
    for name, annotation in kind.__annotations__.items():
        element, _, dimensions = annotation.partition("[")
        if dimensions:
            fields.append((name, np.dtype(element), dimensions.count(",") + 1))
        else:
            fields.append((name, np.dtype(np.int64), _NUMBER if element == "int64" else _STRUCT))
    return fields
