"""The table of a sweep as its page reads it: runs, and points with means over their replications."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from blis.errors import InputError
from blis.files.parquet import frame_of, read_table
from blis.outcomes.metrics.steady_state import VERDICTS
from blis.studies.sweep.mark import MARK, is_swept
from blis.studies.sweep.table import RUN_COLUMNS, STATE_COLUMNS

if TYPE_CHECKING:
    import polars as pl

#: Figures that charts and tables show, and their titles.
FIGURES = {
    "ttft_p99_ms": "p99 TTFT, ms",
    "itl_p99_ms": "p99 ITL, ms",
    "e2e_p99_ms": "p99 E2E, ms",
    "tokens_per_sec": "output tokens/s",
}
#: The one of them that is the better the higher it is.
THROUGHPUT = "tokens_per_sec"

#: Units of settings, by how their names end.
_UNITS = {
    "rate": "requests/s",
    "_refill_rate": "tokens/s",
    "_tokens": "tokens",
    "_tokens_min": "tokens",
    "_tokens_max": "tokens",
    "_tokens_stdev": "tokens",
    "_threshold": "tokens",
    "_in_tokens": "tokens",
    "max_model_len": "tokens",
    "_bucket_capacity": "tokens",
    "max_num_seqs": "requests",
    "_reqs": "requests",
    "_requests": "requests",
    "max_prompts": "requests",
    "_blocks": "blocks",
    "horizon": "µs",
    "_us": "µs",
    "_latency": "µs",
    "_gib": "GiB",
    "_utilization": "share",
    "kv_watermark": "share",
    "tp": "GPUs",
    "num_instances": "instances",
}


class Swept(NamedTuple):
    """A sweep's table, digested.

    Attributes:
        runs: a row per run, as the table has it.
        points: a row per point: settings, means of the figures over its replications, ``runs``, ``kind``.
        settings: columns of settings that differ between points.
        about: the metadata of the table.
    """

    runs: pl.DataFrame
    points: pl.DataFrame
    settings: Sequence[str]
    about: Mapping[str, Any]

    def complete(self) -> pl.DataFrame:
        """Points with a run that came to its end."""
        import polars as pl

        return self.points.filter(pl.col("runs") > 0)

    @property
    def figures(self) -> dict[str, str]:
        """Titles of those figures that there are."""
        return {name: title for name, title in FIGURES.items() if name in self.points.columns}


def title_of(setting: str) -> str:
    """A setting with its unit, if it has one."""
    ends = [end for end in _UNITS if setting.endswith(end)]
    return f"{setting}, {_UNITS[max(ends, key=len)]}" if ends else setting


def read_swept(path: Path) -> Swept:
    """Read a sweep's table.

    Raises:
        InputError: it cannot be read, or is of something else.
    """
    import pyarrow as pa
    from polars.exceptions import PolarsError

    if not is_swept(path):
        raise InputError(f"{path}: not a table that blis sweep wrote")
    try:
        table = read_table(path)
        runs = frame_of(table)
        return _digested(runs, json.loads(table.schema.metadata[MARK]))
    except (PolarsError, pa.ArrowException, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no longer as blis sweep wrote it: {str(error).splitlines()[0]}") from None


def _digested(runs: pl.DataFrame, about: Mapping[str, Any]) -> Swept:
    import polars as pl

    keys = runs.columns[len(RUN_COLUMNS) : runs.columns.index(STATE_COLUMNS[0])]
    settings = [name for name in keys if runs[name].n_unique() > 1]
    figures = [name for name in FIGURES if name in runs.columns and runs[name].null_count() < len(runs)]
    kind = pl.col("steady_state").drop_nulls()
    points = runs.group_by("point", maintain_order=True).agg(
        *(pl.col(name).first() for name in settings),
        *(pl.col(name).mean() for name in figures),
        pl.col("status").eq("ok").sum().alias("runs"),
        # what most of its runs say
        kind.mode().sort().first().fill_null(VERDICTS[None]).alias("kind"),
    )
    return Swept(runs, points.with_columns(pl.col("kind").fill_null(VERDICTS[None])), settings, about)
