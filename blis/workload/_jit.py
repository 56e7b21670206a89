"""The one place that says how kernels of this package are compiled.

The cache notices changes of the file a kernel stands in and of no other file, so a kernel calls only
kernels of its own module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function at its first call; without a place for the cache, in every process anew."""
    try:
        return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # numba: "no locator available", there is nowhere to write
        return cast(Function, njit(nogil=True, error_model="numpy")(function))
