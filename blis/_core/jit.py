"""How the engine is compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

#: Kernels see only arrays and jitclasses made by the entry: they allocate nothing and own no references,
#: so reference counting (``_nrt``) is off, which halves their run time. With it off a jitclass scalar can't
#: be assigned: what changes lives in arrays. Without Python wrappers compiling is a tenth faster.
kernel: Any = njit(  # type: ignore[call-overload]
    nogil=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    _nrt=False,
)
