"""A law asked about many batches at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def _durations(law: Any, loads: NDArray[np.int64], parameters: NDArray[np.float64], out: NDArray[np.int64]) -> None:
    """Fill ``out`` (s,) with what a compiled law says of ``loads`` (s, 7)."""
    pointer = parameters.ctypes
    for i in range(len(loads)):
        load = loads[i]
        out[i] = law(load[0], load[1], load[2], load[3], load[4], load[5], load[6], pointer)


durations: Any = njit(nogil=True)(_durations)
