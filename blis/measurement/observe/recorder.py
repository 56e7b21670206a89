"""Files of a measurement: rows as they come, and in the end the trace, whole."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from blis.errors import InputError
from blis.files.output import replacing
from blis.measurement.observe.records import input_tokens_of, measured_requests, output_tokens_of, trace_records
from blis.measurement.observe.sample import Sample
from blis.workload.requests import Labels, RequestTable
from blis.workload.traces.tracev2.header import TraceHeader, write_header
from blis.workload.traces.tracev2.records import COLUMNS, STATUSES
from blis.workload.traces.tracev2.requests import request_columns
from blis.workload.traces.tracev2.tracev2 import TraceV2, write_tracev2

_log = logging.getLogger("blis")


def partial_paths(prefix: Path) -> TraceV2:
    """The files that hold what is over while a measurement goes on."""
    header, data = (prefix.with_name(f"{prefix.name}.partial{end}") for end in (".yaml", ".csv"))
    return TraceV2(header, data)


def check_partial(prefix: Path) -> None:
    """Make sure that no measurement that was killed is overwritten.

    Raises:
        InputError: there is one.
    """
    for path in (partial_paths(prefix).header, partial_paths(prefix).data):
        if path.exists():
            raise InputError(f"{path}: is left of a measurement that was killed; move or remove it")


class Recorder:
    """Keeps what is measured, and writes it.

    Rows are appended to ``PREFIX.partial.csv`` as requests end. That file and its header are a trace of their own,
    which says nothing of shared tokens.

    Args:
        prefix: path of the trace, without suffixes.
        header: of the trace.
        table: all requests.
        streaming: whether tokens are read as they come.

    Attributes:
        samples: what is over, in the order in which it ended.

    Raises:
        OSError: the first row could not be written.
    """

    def __init__(self, prefix: Path, header: TraceHeader, table: RequestTable, streaming: bool) -> None:
        self.samples: list[Sample] = []
        self._prefix, self._header, self._table, self._streaming = prefix, header, table, streaming
        self._partial = partial_paths(prefix)
        self._fields = _Fields(table)
        with replacing(self._partial.header) as path:
            write_header(header, path)
        self._file: IO[str] | None = self._partial.data.open("w", encoding="utf-8", newline="")
        _append(self._file, COLUMNS)

    def add(self, sample: Sample) -> None:
        """Take a request that is over."""
        self.samples.append(sample)
        if self._file is None:
            return
        try:
            _append(self._file, self._fields.of(sample, self._streaming))
        except OSError as error:  # the measurement is worth more than its safety net
            _log.warning("%s: %s; no more rows are added to it", self._partial.data, error.strerror)
            with suppress(OSError):  # it may still hold what it could not write
                self._close()

    def finish(self) -> None:
        """Write the trace, all its files or none; the partial ones go when it is there. Without rows there is none.

        Raises:
            OSError: it could not be written; the partial files stay.
        """
        self._close()
        if self.samples:
            samples = sorted(self.samples, key=lambda sample: sample.row)
            records = trace_records(self._table, samples, self._streaming)
            write_tracev2(self._prefix, self._header, records, measured_requests(self._table, samples, records))
        else:
            _log.warning("no request was sent; there is no trace")
        self._remove()

    def abandon(self) -> None:
        """Leave the partial files as they are, but not if there is nothing in them."""
        self._close()
        if not self.samples:
            self._remove()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _remove(self) -> None:
        for path in (self._partial.data, self._partial.header):
            path.unlink(missing_ok=True)


def _append(file: IO[str], fields: Sequence[Any]) -> None:
    csv.writer(file, lineterminator="\n").writerow(fields)
    file.flush()  # with the system now: killing this process loses nothing of it


class _Fields:
    """The columns of single rows."""

    def __init__(self, table: RequestTable) -> None:
        self._table, said = table, request_columns(table)
        self._number = said["request_id"]
        names = (_reader(said[name]) for name in ("client", "tenant", "slo_class", "session", "prefix_group"))
        self._client, self._tenant, self._slo_class, self._session, self._prefix_group = names
        self._round, self._modality, self._reason = said["round_index"], said["modality_tokens"], said["reason_ratio"]

    def of(self, sample: Sample, streaming: bool) -> tuple[Any, ...]:
        row = sample.row
        return (
            *(self._number[row], self._client(row), self._tenant(row), self._slo_class(row), self._session(row)),
            *(self._round[row], self._prefix_group(row), "true" if streaming else "false"),
            *(input_tokens_of(sample, self._table), output_tokens_of(sample, self._table, streaming)),
            *self._modality[row].tolist(),
            np.format_float_positional(self._reason[row], trim="0"),
            *(sample.intended_us, sample.send_us, sample.first_chunk_us, sample.last_chunk_us, len(sample.chunk_us)),
            *(STATUSES[sample.status], sample.error),
        )


def _reader(given: Labels) -> Callable[[int], str]:
    names = (*given.names, "")  # code -1 is the last one
    return lambda row: names[given.codes[row]]


def write_chunk_times(path: Path, samples: list[Sample], table: RequestTable) -> None:
    """Write when each piece of each answer came: Parquet with ``request_id`` and ``time_us``, a list.

    Raises:
        OSError: it could not be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = sorted(samples, key=lambda sample: sample.row)
    times = [sample.chunk_us for sample in ordered]
    offsets = np.concatenate(([0], np.cumsum([len(chunk_us) for chunk_us in times], dtype=np.int64)))
    flat = np.concatenate(times) if times else np.empty(0, dtype=np.int64)
    columns = {
        "request_id": pa.array([int(table.numbers[sample.row]) for sample in ordered], pa.int64()),
        "time_us": pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(flat, pa.int64())),
    }
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
