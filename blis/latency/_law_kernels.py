"""A law asked about many batches at once."""

from __future__ import annotations

from typing import Any

import numba.experimental.function_type  # noqa: F401  without it numba takes a Law for any Python object
import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from blis.compiled.function import address_of

_WrapperAddressProtocol: Any = types.WrapperAddressProtocol


class Law(_WrapperAddressProtocol):  # type: ignore[misc]
    """A compiled law as numba takes functions.

    Args:
        law: what `LatencyModel.compile` gives.
        signature: its numba signature.
    """

    def __init__(self, law: Any, signature: Any) -> None:
        self._law = law
        self._signature = signature

    def __wrapper_address__(self) -> int:
        return address_of(self._law)

    def signature(self) -> Any:
        """The numba signature."""
        return self._signature


def _durations(law: Any, loads: NDArray[np.int64], parameters: NDArray[np.float64], out: NDArray[np.int64]) -> None:
    """Fill ``out`` (s,) with what a compiled law says of ``loads`` (s, 7)."""
    pointer = parameters.ctypes
    for i in range(len(loads)):
        load = loads[i]
        out[i] = law(load[0], load[1], load[2], load[3], load[4], load[5], load[6], pointer)


durations: Any = njit(nogil=True)(_durations)
