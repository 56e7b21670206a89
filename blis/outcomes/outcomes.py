"""`Outcomes`: what happened in a run, one row per request, in memory and as a Parquet file.

Stamps are the server's. Durations are what the client sees: they contain the cost per output token on the
client's side, ``trunc(alpha[2])`` µs, once in the time to first token and once per token in the end-to-end time.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis._core.codes import NEVER, NONE, RequestStatus
from blis.files.arrow import numbers, texts
from blis.files.output import replacing
from blis.files.shown import counted, summed_up
from blis.latency.law import LatencyModel
from blis.simulation.result import DecisionTrace, EngineResult
from blis.workload.labels import label_column
from blis.workload.requests import Labels, RequestTable

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from blis.outcomes.expected_error import Expected
    from blis.outcomes.metrics.steady_state import SteadyState
    from blis.report.plots import Plots

Ints = NDArray[np.int64]
Rows = slice | Ints

STATUS_NAMES = tuple(code.name.lower() for code in RequestStatus)
#: Requests that arrived and were neither rejected nor refused.
SERVED = (RequestStatus.WAITING, RequestStatus.RUNNING, RequestStatus.COMPLETED)

_ROWS_PER_GROUP = 1 << 17
#: Columns of the file that are the engine's just as they are.
RESULT_COLUMNS = (
    "arrival_us",
    "enqueued_us",
    "first_scheduled_us",
    "first_token_us",
    "finished_us",
    "produced_tokens",
    "cached_tokens",
    "num_preemptions",
)
#: What it says of the run besides, and how it says what gaps between tokens there were.
SCALARS = ("end_us", "usable_blocks", "interrupted")
HISTOGRAM = ("itl_instance", "itl_class", "itl_values_us", "itl_counts")
#: What is known of each client's connection, if anything is.
CONNECTION = ("rtt_us", "bandwidth_mbps")
#: Columns of few distinct names.
NAMES = ("instance_id", "slo_class", "tenant_id", "status")


def has_status(status: Ints, wanted: Sequence[RequestStatus]) -> NDArray[np.bool_]:
    """(n,) which requests ended in one of some states."""
    is_wanted = np.zeros(len(RequestStatus), np.bool_)
    is_wanted[list(wanted)] = True
    found: NDArray[np.bool_] = is_wanted[status]
    return found


def instance_ids(count: int) -> list[str]:
    """What the instances of a cluster are called."""
    return [f"instance_{index}" for index in range(count)]


class ItlHistogram(NamedTuple):
    """Gaps between consecutive output tokens of one request, over many requests.

    Attributes:
        values_us: (k,) distinct gaps as the client sees them, ascending.
        counts: (k,) how often each occurred.
    """

    values_us: Ints
    counts: Ints


@dataclass(frozen=True, eq=False, repr=False)
class Outcomes:
    """What happened in one run.

    Attributes:
        table: the requests (their token content is not kept).
        result: what the engine says about each of them, and about the run.
        client_cost_us: client-side cost per output token.
        metadata: version, seed, resolved configuration and inputs of the run; plain JSON values.
        trace: of the decisions, if they were recorded; not kept in the Parquet file.
    """

    table: RequestTable
    result: EngineResult
    client_cost_us: int
    metadata: Mapping[str, Any]
    trace: DecisionTrace | None = None

    @classmethod
    def of(
        cls, table: RequestTable, result: EngineResult, latency: LatencyModel, metadata: Mapping[str, Any]
    ) -> Outcomes:
        """Put together what went into a run and what came out."""
        return cls(table.without_content(), result, int(latency.alpha[2]), metadata)

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
        return np.where(stamp_us >= 0, stamp_us - self.result.arrival_us[rows] + client_us, NEVER)

    @property
    def itl(self) -> ItlHistogram:
        """All gaps between output tokens, of finished and unfinished requests."""
        return self.itl_of()

    def itl_of(self, *, instance: int | None = None, slo_class: int | Sequence[int] | None = None) -> ItlHistogram:
        """Those of one instance, or of requests of some service classes (codes; -1: none is given)."""
        values_us, counts = self.result.itl_histogram(instance=instance, slo_class=slo_class)
        return ItlHistogram(values_us + self.client_cost_us, counts)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The figures of the metrics block (docs/output.md); None where one cannot be computed."""
        from blis.outcomes.metrics.summary import summarize

        return summarize(self)

    def __repr__(self) -> str:
        summary = self.summary
        done = f"{summary['completed_requests']:,} of {counted(summary['injected_requests'], 'request')} completed"
        figures = {"{:,.4g} requests/s": "responses_per_sec", "p99 TTFT {:,.4g} ms": "ttft_p99_ms"}
        figures["p99 TPOT {:,.4g} ms"] = "tpot_p99_ms"
        known = [text.format(summary[name]) for text, name in figures.items() if summary[name] is not None]
        return summed_up(self, ", ".join([*(["interrupted"] if summary["interrupted"] else []), done, *known]))

    def _repr_html_(self) -> str:
        """Headline figures, for notebooks."""
        from blis.report.notebook import outcomes_html

        return outcomes_html(self)

    @property
    def plot(self) -> Plots:
        """Altair charts of the run; they need the extra ``plots``."""
        from blis.report.plots import Plots

        return Plots(self)

    @cached_property
    def steady_state(self) -> SteadyState:
        """Whether the run settled, and intervals of its means."""
        from blis.outcomes.metrics.steady_state import SteadyState

        return SteadyState(self)

    @cached_property
    def expected_error(self) -> Expected | None:
        """How far off these figures may be, by what was measured; None where steps are not the roofline's."""
        from blis.outcomes.expected_error import expected_error

        return expected_error(self)

    @cached_property
    def busy_us(self) -> Ints:
        """(m,) how long each instance ran steps."""
        from blis.outcomes.metrics.activity import busy_us

        return busy_us(self)

    @cached_property
    def requests(self) -> pl.DataFrame:
        """One row per request, in the order in which they were given.

        The columns are those of the Parquet file, and ``tpot_us``: the time per output token, null for unfinished
        requests and those with fewer than two tokens. It is the mean of the request's own gaps, ``itl_mean_us``, under
        the name of the summary's figures, which are over requests as those of ``itl`` are over gaps.
        """
        import polars as pl

        frame = pl.DataFrame(self._arrow_table(0, len(self)))
        return frame.with_columns(pl.col("status").cast(pl.Enum(STATUS_NAMES)), tpot_us=pl.col("itl_mean_us"))

    def write_json(self, path: str | Path) -> None:
        """Write the summary and one entry per request, sorted by arrival (docs/output.md)."""
        from blis.report.json_report import write_results
        from blis.report.sections import Report

        write_results(self, Path(path), Report(self).values())

    def write_report(self, path: str | Path, *, slo_targets_us: Mapping[str, int] | None = None) -> None:
        """Write a page of figures and charts, one HTML file with everything inside (docs/report.md).

        Args:
            path: of the file.
            slo_targets_us: per service class, the longest end-to-end time that is good enough.

        Raises:
            InputError: the extra ``plots`` is not installed, or no request has one of the classes.
        """
        from blis.report.run_page import write_run_page
        from blis.report.sections import Report

        write_run_page(Report(self, slo_targets_us=slo_targets_us), Path(path))

    def write_parquet(self, path: str | Path) -> None:
        """Write one row per request, and everything needed to read the outcomes back."""
        import pyarrow.parquet as pq

        with (
            replacing(Path(path)) as temporary,
            pq.ParquetWriter(
                temporary,
                self._arrow_table(0, 0).schema,
                compression="zstd",
                use_dictionary=list(NAMES),
                store_schema=False,  # it would hide the metadata from `pyarrow.parquet.read_schema`
            ) as writer,
        ):
            for group in self._row_groups():
                writer.write_table(group)
            writer.add_key_value_metadata({"blis": json.dumps(self.metadata), "blis.run": json.dumps(self._run())})

    def _run(self) -> dict[str, Any]:
        """What the file says besides the rows."""
        result, table = self.result, self.table
        columns = dataclasses.asdict(result.instances)
        return {
            "client_cost_us": self.client_cost_us,
            **{name: getattr(result, name) for name in SCALARS},
            "instances": {name: values.tolist() for name, values in columns.items()},
            "itl": _packed([getattr(result, name) for name in HISTOGRAM]),
            "slo_classes": table.slo_class and table.slo_class.names,
            "tenants": table.tenant and table.tenant.names,
            "unlisted": table.unlisted,
        }

    def _row_groups(self) -> Iterator[pa.Table]:
        for start in range(0, len(self), _ROWS_PER_GROUP):
            yield self._arrow_table(start, min(start + _ROWS_PER_GROUP, len(self)))

    def _arrow_table(self, start: int, stop: int) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        def stamps(values: Ints) -> pa.Array:
            return numbers(values, values == NEVER)

        rows, result = slice(start, stop), self.result
        request, underscore = texts(("request", "_"))
        number = numbers(self.table.numbers[rows]).cast(pa.string())
        instance = Labels(result.instance, tuple(instance_ids(len(result.instances))))
        itl_mean_us = self.itl_mean_us(rows)
        return pa.table(
            {
                "request_id": pc.binary_join_element_wise(request, number, underscore),
                "arrival_us": stamps(result.arrival_us[rows]),
                "enqueued_us": stamps(result.enqueued_us[rows]),
                "first_scheduled_us": stamps(result.first_scheduled_us[rows]),
                **self._start_column(rows, stamps),
                "first_token_us": stamps(result.first_token_us[rows]),
                "finished_us": stamps(result.finished_us[rows]),
                "input_tokens": numbers(self.table.input_tokens[rows]),
                "output_tokens": numbers(self.table.output_tokens[rows]),
                "produced_tokens": numbers(result.produced_tokens[rows]),
                "cached_tokens": numbers(result.cached_tokens[rows]),
                "num_preemptions": numbers(result.num_preemptions[rows]),
                "instance_id": label_column(instance, rows),
                "slo_class": label_column(self.table.slo_class, rows),
                "tenant_id": label_column(self.table.tenant, rows),
                "session_id": self._session_column(rows, "session"),
                "turn": self._session_column(rows, "turn"),
                "status": pc.take(texts(STATUS_NAMES), numbers(result.status[rows])),
                "ttft_us": stamps(self.ttft_us(rows)),
                "e2e_us": stamps(self.e2e_us(rows)),
                "scheduling_delay_us": stamps(self.scheduling_delay_us(rows)),
                "itl_mean_us": numbers(itl_mean_us, np.isnan(itl_mean_us)),
                **self._client_columns(rows),
            }
        )

    def _start_column(self, rows: slice, stamps: Callable[[Ints], pa.Array]) -> dict[str, Any]:
        """When the GPU began with each request, if that was not when its step was planned."""
        started_us = self.result.first_started_us
        if np.array_equal(started_us, self.result.first_scheduled_us):
            return {}
        return {"first_started_us": stamps(started_us[rows])}

    def _session_column(self, rows: slice, name: str) -> pa.Array:
        import pyarrow as pa

        sessions = self.table.sessions
        if sessions is None:
            return pa.nulls(len(range(*rows.indices(len(self)))), pa.int64())
        return numbers(getattr(sessions, name)[rows], sessions.session[rows] == NONE)

    def _client_columns(self, rows: slice) -> dict[str, Any]:
        """What there is to say of the clients' connections, if anything."""
        from blis.outcomes.metrics.network import client_e2e_us, client_ttft_us, has_network

        details = self.table.details
        if details is None or not has_network(self):
            return {}
        durations = {"client_ttft_us": client_ttft_us(self, rows), "client_e2e_us": client_e2e_us(self, rows)}
        return {name: numbers(values, values == NEVER) for name, values in durations.items()} | {
            name: numbers(getattr(details, name)[rows]) for name in CONNECTION
        }

    @classmethod
    def read_parquet(cls, path: str | Path) -> Outcomes:
        """Read what `write_parquet` wrote; its summary equals that of the run.

        Raises:
            InputError: the file cannot be read, or is none of ours.
        """
        from blis.outcomes.reading import read_outcomes

        return read_outcomes(path)


def _packed(columns: Sequence[Ints]) -> dict[str, Any]:
    """Columns of equal length as text: differences from row to row, little-endian, compressed (zstd), base64."""
    import pyarrow as pa

    differences = np.diff(np.stack(columns), axis=1, prepend=0).astype("<i8")
    data = pa.compress(differences.tobytes(), codec="zstd", asbytes=True)
    return {"rows": differences.shape[1], "data": base64.b64encode(data).decode()}


def unpacked(packed: Mapping[str, Any], count: int) -> Ints:
    """(count, rows) what `_packed` was given."""
    import pyarrow as pa

    size = count * packed["rows"] * 8
    data = pa.decompress(base64.b64decode(packed["data"]), decompressed_size=size, codec="zstd", asbytes=True)
    differences = np.frombuffer(data, "<i8").reshape(count, packed["rows"])
    return np.cumsum(differences, axis=1, dtype=np.int64)
