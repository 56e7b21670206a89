"""The one way to open a trace file of whatever format."""

from __future__ import annotations

import os
from pathlib import Path

from blis.errors import WorkloadError
from blis.workload.requests import RequestTable


def load_trace(path: str | os.PathLike[str], horizon_us: int | None = None) -> RequestTable:
    """Load a trace file; its suffix says what it is (docs/workload-formats.md).

    Args:
        path: a ``.csv`` or ``.parquet`` file.
        horizon_us: requests arriving later are left out.

    Raises:
        WorkloadError: another suffix, or the file is wrong; names file and line or row.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        from blis.workload.traces.csv import load_csv_trace

        return load_csv_trace(path, horizon_us)
    if suffix == ".parquet":
        from blis.workload.traces.parquet import load_parquet_trace

        return load_parquet_trace(path, horizon_us)
    raise WorkloadError(f"{path}: a trace must be a .csv or .parquet file, got suffix {suffix!r}")
