"""Requests in groups."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

#: Numbers of 16 bits are sorted in linear time.
_MOST_CODES = np.iinfo(np.int16).max


def rows_by_code(codes: Ints, count: int) -> list[Ints]:
    """Rows with each of the codes 0 to ``count - 1``, in their order; a row with a code below 0 is in no group."""
    sorted_as = codes.astype(np.int16) if count <= _MOST_CODES else codes
    order = np.argsort(sorted_as, kind="stable")
    bounds = np.searchsorted(sorted_as[order], np.arange(count + 1, dtype=sorted_as.dtype))
    return [order[first:last] for first, last in itertools.pairwise(bounds)]
