"""Structs: named arrays, numbers and other structs, and how they lie in memory where compiled code looks for them.

A struct is one int64 word after the other: a number is a word, an array a descriptor of words, and a struct within
is a null (its owner: nobody) and its address. `blis._core.handles` compares this with numba's own layout.
"""

from __future__ import annotations

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
    parts = [_words(kind, name, values[name], ()) for name in kind.__annotations__]
    return Struct(np.concatenate(parts), values)


def structs_of(kind: type, values: Mapping[str, Any], count: int, shared: Container[str]) -> Struct:
    """Put several structs into memory, as `struct_of` does one.

    Args:
        kind: a class made by `struct`.
        values: arrays have a first axis of ``count`` rows, one for each struct, and so do structs.
        count: how many.
        shared: fields in which all get the same.
    """
    parts = [_words(kind, name, values[name], () if name in shared else (count,)) for name in kind.__annotations__]
    return Struct(np.hstack([np.broadcast_to(part, (count, part.shape[-1])) for part in parts]), values)


def addresses_of(struct: Struct) -> NDArray[np.int64]:
    """Where each of several structs begins."""
    words = struct.words
    return address_of(words) + words.strides[0] * np.arange(len(words))


def address_of(array: NDArray[Any]) -> int:
    """Where an array begins."""
    address: int = array.__array_interface__["data"][0]
    return address


def _words(kind: type, name: str, value: Any, rows: tuple[int, ...]) -> NDArray[np.int64]:
    """The words of one field: (w,), or (rows, w)."""
    annotation = kind.__annotations__[name]
    if annotation == _NUMBER:
        return np.array([value], np.int64)
    element, _, dimensions = annotation.partition("[")
    array = value if dimensions else value.words
    if not dimensions:
        words, data = np.zeros((*rows, 2), np.int64), 1
    else:
        ndim = dimensions.count(",") + 1
        if array.dtype.name != element or array.ndim != ndim + len(rows) or not array.flags.c_contiguous:
            found = f"{array.ndim - len(rows)} dimensions of {array.dtype}"
            raise TypeError(f"{kind.__name__}.{name}: must be contiguous and {annotation}, got {found}")
        shape, strides = array.shape[len(rows) :], array.strides[len(rows) :]
        words, data = np.empty((*rows, len(ARRAY) - 2 + 2 * ndim), np.int64), _DATA
        words[...] = (0, 0, math.prod(shape), array.itemsize, 0, *shape, *strides)
    words[..., data] = address_of(array)
    if rows:
        words[..., data] += array.strides[0] * np.arange(*rows)
    return words
