"""Parquet files of others, as Arrow tables that hold what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@contextmanager
def damage_as(error_of: Callable[[str], Exception]) -> Iterator[None]:
    """Let what Arrow says of damaged files be another error; what the operating system says of files is not touched."""
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError:
        raise error_of("the name of a column is no text") from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise error_of(" ".join(str(error).split())[:200]) from None


def read_table(path: Path) -> pa.Table:
    """All columns of a file, with its metadata, but without those of single columns.

    Polars ends in a panic of its own on damaged files, and on tables of damaged ones; of Arrow there are errors.

    Raises:
        OSError: it cannot be read.
        pyarrow.ArrowException: it is no Parquet, is damaged, or has two columns of one name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        try:
            names = file.schema_arrow.names
        except UnicodeDecodeError:
            raise pa.ArrowInvalid("the name of a column is no text") from None
        if len(set(names)) < len(names):
            raise pa.ArrowInvalid(f"two columns are called {max(names, key=names.count)!r}")
        table = file.read()
    plain = pa.Table.from_arrays(table.columns, names=names)
    plain.validate(full=True)
    return plain.replace_schema_metadata(table.schema.metadata)


def frame_of(table: pa.Table) -> pl.DataFrame:
    """The same for polars, without metadata, of which it takes none but texts."""
    import polars as pl

    return pl.DataFrame(pl.from_arrow(table.replace_schema_metadata(None)))
