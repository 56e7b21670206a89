"""The one way to open a trace file of whatever format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blis.errors import WorkloadError
from blis.files.digest import sha256
from blis.workload.requests import RequestTable


@dataclass(frozen=True)
class TraceFile:
    """A trace file as a workload.

    Attributes:
        path: of a file that `load_trace` reads.
    """

    path: Path

    @property
    def seed(self) -> None:
        """Nothing is drawn."""

    def requests(self, seed: int, horizon_us: int | None = None) -> RequestTable:
        """Load it, whatever the horizon (`load_trace`)."""
        return load_trace(self.path)

    def describe(self) -> dict[str, Any]:
        """Its path and digest."""
        return {"kind": "trace", "path": str(self.path), "sha256": sha256(self.path)}


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
    raise WorkloadError(
        f"{path}: a trace must be a .csv or .parquet file, got suffix {suffix!r}; blis convert makes one of other files"
    )
