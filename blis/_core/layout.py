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
_NUMBER = "int64"


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
    for field in _fields(kind):
        words += field.words(values[field.name], stacked=False)
    return Struct(np.array(words, np.int64), values)


def structs_of(kind: type, values: Mapping[str, Any], count: int, shared: Container[str]) -> Struct:
    """Put several structs into memory, as `struct_of` does one.

    Args:
        kind: a class made by `struct`.
        values: arrays have a first axis of ``count`` rows, one for each struct, and so do structs.
        count: how many.
        shared: fields in which all get the same.
    """
    first: list[int] = []
    step: list[int] = []  # from one struct to the next: data of arrays lie one behind the other
    for field in _fields(kind):
        value, stacked = values[field.name], field.name not in shared
        words = field.words(value, stacked=stacked)
        first += words
        step += [0] * len(words)
        if stacked:
            array = value.words if field.dtype is None else value
            step[field.data - len(words)] = array.strides[0]
    rows = np.arange(count)[:, None] * np.array(step, np.int64) + np.array(first, np.int64)
    return Struct(rows, values)


def addresses_of(struct: Struct) -> NDArray[np.int64]:
    """Where each of several structs begins."""
    words = struct.words
    return address_of(words) + words.strides[0] * np.arange(len(words))


def address_of(array: NDArray[Any]) -> int:
    """Where a contiguous array begins."""
    if array.size > 0 and array.flags.writeable:  # a fourth of the time
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    return array.ctypes.data


class _Field(NamedTuple):
    """A field of a struct: a number, an array, or a struct, which has neither element type nor dimensions."""

    where: str
    name: str
    annotation: str
    dtype: np.dtype[Any] | None
    ndim: int

    @property
    def data(self) -> int:
        """Which of its words is an address."""
        return 1 if self.dtype is None else _DATA

    def words(self, value: Any, *, stacked: bool) -> list[int]:
        """What stands for a value; for the first of several that are stacked."""
        if self.annotation == _NUMBER:
            return [value]
        if self.dtype is None:
            return [0, address_of(value.words)]
        shape, strides = value.shape[stacked:], value.strides[stacked:]
        if value.dtype != self.dtype or len(shape) != self.ndim or not value.flags.c_contiguous:
            found = f"{value.dtype} of {len(shape)} dimensions"
            raise TypeError(f"{self.where}.{self.name}: must be {self.annotation} and contiguous, got {found}")
        return [0, 0, math.prod(shape), value.itemsize, address_of(value), *shape, *strides]


@functools.cache
def _fields(kind: type) -> list[_Field]:
    """The fields by their annotations: "int64", "int32[:, ::1]", or the name of a struct."""
    fields = []
    for name, annotation in kind.__annotations__.items():
        element, _, dimensions = annotation.partition("[")
        dtype = np.dtype(element) if dimensions else None
        fields.append(_Field(kind.__name__, name, annotation, dtype, dimensions.count(",") + 1))
    return fields
