"""`Outcomes`: what happened in a run, one row per request, in memory and as a Parquet file.

Stamps are the server's. Durations are what the client sees: they contain the cost per output token on the
client's side, ``trunc(alpha[2])`` µs, once in the time to first token and once per token in the end-to-end time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER, RequestStatus
from blis.errors import InputError
from blis.files import replacing
from blis.latency.law import LatencyModel
from blis.result import EngineResult
from blis.workload.requests import RequestTable

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Ints = NDArray[np.int64]
Rows = slice | Ints

#: The only instance there is.
INSTANCE_ID = "instance_0"

STATUS_NAMES = tuple(code.name.lower() for code in RequestStatus)

_ROWS_PER_GROUP = 1 << 17
_COLUMNS = (
    "enqueued_us",
    "first_scheduled_us",
    "first_token_us",
    "finished_us",
    "produced_tokens",
    "cached_tokens",
    "num_preemptions",
)
_SCALARS = ("end_us", "num_steps", "peak_used_blocks", "usable_blocks", "interrupted")
_HISTOGRAM = ("itl_values_us", "itl_counts")


class ItlHistogram(NamedTuple):
    """Gaps between consecutive output tokens of one request, over all requests.

    Attributes:
        values_us: (k,) distinct gaps as the client sees them, ascending.
        counts: (k,) how often each occurred.
    """

    values_us: Ints
    counts: Ints


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What happened in one run.

    Attributes:
        table: the requests (their token content is not kept).
        result: what the engine says about each of them, and about the run.
        client_cost_us: client-side cost per output token.
        metadata: version, seed, resolved configuration and inputs of the run; plain JSON values.
    """

    table: RequestTable
    result: EngineResult
    client_cost_us: int
    metadata: Mapping[str, Any]

    @classmethod
    def of(
        cls, table: RequestTable, result: EngineResult, latency: LatencyModel, metadata: Mapping[str, Any]
    ) -> Outcomes:
        """Put together what went into a run and what came out."""
        bare = RequestTable(table.arrival_us, table.input_tokens, table.output_tokens)
        return cls(bare, result, int(latency.alpha[2]), metadata)

    def __len__(self) -> int:
        return len(self.table)

    def ttft_us(self, rows: Rows = slice(None)) -> Ints:
        """(n,) time from arrival to the first output token, -1 where there was none."""
        return self._since_arrival(self.result.first_token_us, self.client_cost_us, rows)

    def e2e_us(self, rows: Rows = slice(None)) -> Ints:
        """(n,) time from arrival to the last output token, -1 for unfinished requests."""
        client_us = self.result.produced_tokens[rows] * self.client_cost_us
        return self._since_arrival(self.result.finished_us, client_us, rows)

    def scheduling_delay_us(self, rows: Rows = slice(None)) -> Ints:
        """(n,) time from arrival to the first step that scheduled some of it, -1 where there was none."""
        return self._since_arrival(self.result.first_scheduled_us, 0, rows)

    def itl_mean_us(self, rows: Rows = slice(None)) -> NDArray[np.float64]:
        """(n,) mean gap between output tokens (TPOT), nan for unfinished ones and those with fewer than two tokens."""
        gaps = self.result.produced_tokens[rows] - 1
        known = (self.result.finished_us[rows] >= 0) & (gaps >= 1)
        decode_us = self.e2e_us(rows) - self.ttft_us(rows)
        return np.where(known, decode_us / np.where(known, gaps, 1), np.nan)

    def _since_arrival(self, stamp_us: Ints, client_us: int | Ints, rows: Rows) -> Ints:
        stamp_us = stamp_us[rows]
        return np.where(stamp_us >= 0, stamp_us - self.table.arrival_us[rows] + client_us, NEVER)

    @property
    def itl(self) -> ItlHistogram:
        """All gaps between output tokens, of finished and unfinished requests."""
        return ItlHistogram(self.result.itl_values_us + self.client_cost_us, self.result.itl_counts)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The figures of the metrics block (README, "Output"); None where one cannot be computed."""
        from blis.metrics.summary import summarize

        return summarize(self)

    @cached_property
    def requests(self) -> pl.DataFrame:
        """One row per request, in the order in which they were given; the columns are those of the Parquet file."""
        import polars as pl

        frame = pl.DataFrame(self._arrow_table(0, len(self)))
        return frame.with_columns(pl.col("status").cast(pl.Enum(STATUS_NAMES)))

    def write_json(self, path: str | Path) -> None:
        """Write the summary and one entry per request, sorted by arrival (README, "Output")."""
        from blis.report.json_report import write_results

        write_results(self, Path(path))

    def write_parquet(self, path: str | Path) -> None:
        """Write one row per request, and everything needed to read the outcomes back."""
        import pyarrow.parquet as pq

        run: dict[str, Any] = {"client_cost_us": self.client_cost_us}
        run |= {name: getattr(self.result, name) for name in _SCALARS}
        run |= {name: getattr(self.result, name).tolist() for name in _HISTOGRAM}
        with (
            replacing(Path(path)) as temporary,
            pq.ParquetWriter(
                temporary,
                self._arrow_table(0, 0).schema,
                compression="zstd",
                use_dictionary=["instance_id", "status"],
                store_schema=False,  # it would hide the metadata from `pyarrow.parquet.read_schema`
            ) as writer,
        ):
            for group in self._row_groups():
                writer.write_table(group)
            writer.add_key_value_metadata({"blis": json.dumps(self.metadata), "blis.run": json.dumps(run)})

    def _row_groups(self) -> Iterator[pa.Table]:
        for start in range(0, len(self), _ROWS_PER_GROUP):
            yield self._arrow_table(start, min(start + _ROWS_PER_GROUP, len(self)))

    def _arrow_table(self, start: int, stop: int) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        def stamps(values: Ints) -> pa.Array:
            return pa.array(values, mask=values == NEVER)

        rows, result = slice(start, stop), self.result
        number = pa.array(np.arange(start, stop)).cast(pa.string())
        itl_mean_us = self.itl_mean_us(rows)
        return pa.table(
            {
                "request_id": pc.binary_join_element_wise("request", number, "_"),
                "arrival_us": self.table.arrival_us[rows],
                "enqueued_us": stamps(result.enqueued_us[rows]),
                "first_scheduled_us": stamps(result.first_scheduled_us[rows]),
                "first_token_us": stamps(result.first_token_us[rows]),
                "finished_us": stamps(result.finished_us[rows]),
                "input_tokens": self.table.input_tokens[rows],
                "output_tokens": self.table.output_tokens[rows],
                "produced_tokens": result.produced_tokens[rows],
                "cached_tokens": result.cached_tokens[rows],
                "num_preemptions": result.num_preemptions[rows],
                "instance_id": pa.repeat(INSTANCE_ID, stop - start),
                "status": pc.take(pa.array(STATUS_NAMES), pa.array(result.status[rows])),
                "ttft_us": stamps(self.ttft_us(rows)),
                "e2e_us": stamps(self.e2e_us(rows)),
                "scheduling_delay_us": stamps(self.scheduling_delay_us(rows)),
                "itl_mean_us": pa.array(itl_mean_us, mask=np.isnan(itl_mean_us)),
            }
        )

    @classmethod
    def read_parquet(cls, path: str | Path) -> Outcomes:
        """Read what `write_parquet` wrote; its summary equals that of the run.

        Raises:
            InputError: the file cannot be read, or is none of ours.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path, columns=["arrival_us", "input_tokens", "output_tokens", "status", *_COLUMNS])
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"{path}: cannot be read as Parquet: {error}") from error
        metadata = table.schema.metadata or {}
        if b"blis.run" not in metadata:
            raise InputError(f"{path}: not a file of outcomes: its schema has no metadata 'blis.run'")
        return cls._from_arrow(table, json.loads(metadata[b"blis"]), json.loads(metadata[b"blis.run"]))

    @classmethod
    def _from_arrow(cls, table: pa.Table, metadata: Mapping[str, Any], run: dict[str, Any]) -> Outcomes:
        import pyarrow as pa
        import pyarrow.compute as pc

        def column(name: str) -> Any:
            return pc.fill_null(table[name], NEVER).to_numpy()

        status = pc.index_in(table["status"], value_set=pa.array(STATUS_NAMES))
        requests = RequestTable(column("arrival_us"), column("input_tokens"), column("output_tokens"))
        values: dict[str, Any] = {name: run[name] for name in _SCALARS}
        values |= {name: column(name) for name in _COLUMNS}
        values |= {name: np.array(run[name], dtype=np.int64) for name in _HISTOGRAM}
        result = EngineResult(status=status.to_numpy().astype(np.int64), **values)
        return cls(requests, result, run["client_cost_us"], metadata)
