"""Large arrays of which little is touched."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: From here on numpy asks for huge pages.
_HUGE_BYTES = 2**22


def sparse(shape: tuple[int, ...], dtype: DTypeLike, *, zeros: bool) -> NDArray[Any]:
    """An array that takes memory where it is touched.

    Huge pages, which numpy asks for, would be cleared two megabytes at a time: half of the time of a short run on
    hundreds of instances.

    Args:
        shape: of the array.
        dtype: of its elements.
        zeros: whether they have to be zero.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < _HUGE_BYTES or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros(shape, dtype) if zeros else np.empty(shape, dtype)
    memory = mmap.mmap(-1, size)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)
