"""Arrow arrays of NumPy's and of texts. `pyarrow.array` does as much, but imports pandas where that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Mask = NDArray[np.bool_]


def numbers(values: NDArray[Any], missing: Mask | None = None) -> pa.Array:
    """An array of integers or floats; it shares their memory.

    Args:
        values: (n,) of a type that Arrow has, too.
        missing: (n,) which are null; None: none.
    """
    import pyarrow as pa

    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [_validity(missing), data])


def flags(values: Mask, missing: Mask | None = None) -> pa.Array:
    """An array of true and false."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.bool_(), len(values), [_validity(missing), _bits(values)])


def texts(values: Sequence[str | None]) -> pa.Array:
    """An array of texts; None is null."""
    import pyarrow as pa

    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    missing = np.array([value is None for value in values], np.bool_)
    buffers = [_validity(missing), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def _validity(missing: Mask | None) -> pa.Buffer | None:
    return None if missing is None or not missing.any() else _bits(~missing)


def _bits(values: Mask) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(values, bitorder="little"))
