"""Names of requests (service classes, tenants) as codes, from columns of text and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blis.files.arrow import numbers, texts
from blis.workload.requests import Labels

if TYPE_CHECKING:
    import pyarrow as pa

#: Service classes whose codes never change, from the most urgent on; policies go by these.
SLO_CLASSES = ("realtime", "interactive", "batch")


def labels(values: Sequence[str | None] | pa.Array | pa.ChunkedArray, known: Sequence[str] = ()) -> Labels | None:
    """Give each name a code.

    Args:
        values: (n,) a name per request; None, null and the empty string mean that none is given.
        known: names that have the first codes, in use or not.

    Returns:
        Codes whose names are the known ones, then the others in sorted order; None if no request has a name.
    """
    import pyarrow as pa

    column: Any = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, pa.string())
    column = column.cast(pa.string()).dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    found = column.dictionary.to_pylist()
    names = (*known, *sorted(set(found) - set(known) - {""}))
    position = {name: code for code, name in enumerate(names)}
    code_of = np.array([*(position.get(name, -1) for name in found), -1])
    codes = code_of[column.indices.fill_null(-1).to_numpy()]
    return Labels(codes, names) if np.any(codes >= 0) else None


def label_column(labels: Labels | None, rows: slice) -> pa.DictionaryArray:
    """The names of some rows as an Arrow column of strings, null where none is given."""
    import pyarrow as pa

    codes = np.full(rows.stop - rows.start, -1) if labels is None else labels.codes[rows]
    names = () if labels is None else labels.names
    indices = numbers(codes.astype(np.int32), codes < 0)
    return pa.DictionaryArray.from_arrays(indices, texts(names))
