"""Structs: named arrays, numbers and other structs, and how they lie in memory where compiled code looks for them.

A struct is one int64 word after the other: a number is a word, an array a descriptor of words, and a struct within
is a null (its owner: nobody) and its address. `blis._core.handles` reads it.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: What describes an array of d dimensions; the last two are of d words each. It has neither owner nor parent.
ARRAY = ("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides")
_DATA = ARRAY.index("data")
#: Of a struct within the second word is its address. In the place of dimensions they tell numbers and structs apart.
_NUMBER, _STRUCT = 0, 1


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
        _append(words, kind, name, dtype, ndim, values[name])
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
        value, begin = values[name], len(words)
        if name in shared:
            _append(words, kind, name, dtype, ndim, value)
        else:
            _append(words, kind, name, dtype, ndim, value, first=True)
            of_structs = dtype is None
            array = value.words if of_structs else value
            steps.append((begin + (_STRUCT if of_structs else _DATA), array.strides[0]))
    rows = np.empty((count, len(words)), np.int64)
    rows[:] = words
    if count > 1:
        for word, step in steps:
            rows[:, word] += step * np.arange(count)
    return Struct(rows, values)


def _append(
    words: list[int], kind: type, name: str, dtype: np.dtype[Any] | None, ndim: int, value: Any, *, first: bool = False
) -> None:
    """Add what stands for a value; or only for the first along its first axis."""
    if dtype is None:
        words += (value,) if ndim == _NUMBER else (0, address_of(value.words))
        return
    shape = value.shape[1:] if first else value.shape
    found = value.dtype
    if (found is not dtype and found != dtype) or len(shape) != ndim or not value.flags.c_contiguous:
        wanted, text = kind.__annotations__[name], f"{found} of {len(shape)} dimensions"
        raise TypeError(f"{kind.__name__}.{name}: must be {wanted} and contiguous, got {text}")
    size, rest = _described(shape, dtype.itemsize)
    words += (0, 0, size, dtype.itemsize, address_of(value) if size else 0, *rest)


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


@functools.lru_cache(2**12)
def _described(shape: tuple[int, ...], itemsize: int) -> tuple[int, tuple[int, ...]]:
    """How many elements a contiguous array has; its shape and strides."""
    strides = [math.prod(shape[axis:]) * itemsize for axis in range(1, len(shape) + 1)]
    return math.prod(shape), (*shape, *strides)


@functools.cache
def _fields(kind: type) -> list[tuple[str, np.dtype[Any] | None, int]]:
    """Name, element type and dimensions of the fields; from "int64", "int32[:, ::1]", or the name of a struct."""
    fields: list[tuple[str, np.dtype[Any] | None, int]] = []
    for name, annotation in kind.__annotations__.items():
        element, _, dimensions = annotation.partition("[")
        if dimensions:
            fields.append((name, np.dtype(element), dimensions.count(",") + 1))
        else:
            fields.append((name, None, _NUMBER if element == "int64" else _STRUCT))
    return fields
