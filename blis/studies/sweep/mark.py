"""What tells the table of a sweep from other Parquet files."""

from __future__ import annotations

from pathlib import Path

#: Key of the schema's metadata that only tables of sweeps have.
MARK = b"blis.sweep"


def is_swept(path: Path) -> bool:
    """Whether a file is the table of a sweep."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return MARK in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return False
