"""Functions as C function pointers, which the engine takes as arguments: step-time laws and policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def cached_cfunc(function: Callable[..., Any], signature: Any, **options: Any) -> Any:
    """Compile a function with `numba.cfunc`, kept on disk for the next process where there is a place for it.

    Without a writable cache directory (a read-only container, say) it is compiled for this process only. With
    ``NUMBA_DISABLE_JIT=1`` it stays Python, for an engine that does too.

    Args:
        function: what to compile. numba's cache notices changes of its own file only; if it depends on others it must
            be a closure over their digest.
        signature: of numba types.
        options: of `numba.cfunc`.
    """
    from numba import cfunc, config

    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return _interpreted(function)
    try:
        return cfunc(signature, cache=True, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return cfunc(signature, **options)(function)


def _interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function for an engine that runs as plain Python and hands over ``array.ctypes`` where C has pointers."""
    from ctypes import POINTER

    from numpy.ctypeslib import as_ctypes_type

    def pointer(argument: Any) -> Any:
        if not hasattr(argument, "data_as"):
            return argument
        return argument.data_as(POINTER(as_ctypes_type(argument._arr.dtype)))

    return lambda *arguments: function(*map(pointer, arguments))
