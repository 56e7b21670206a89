"""Runs as TraceV2: the requests as they really arrived, and what became of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blis._core.codes import NEVER, RequestStatus
from blis.workload.requests import Ints, Labels, RequestTable
from blis.workload.traces.tracev2.header import Server, TraceHeader
from blis.workload.traces.tracev2.records import ERROR, OK, TIMEOUT, TraceRecords
from blis.workload.traces.tracev2.requests import request_columns
from blis.workload.traces.tracev2.tracev2 import write_tracev2

if TYPE_CHECKING:
    from blis.outcomes.outcomes import Outcomes

#: What is said of requests that did not get all their tokens; positions are codes of messages.
_MESSAGES = (
    "rejected by the admission policy",
    "refused: the prompt is longer than max_model_len allows",
    "refused: needs more KV blocks than the cache has",
    "unfinished when the run ended",
    "would have arrived after the end of the run",
    "never sent: an earlier turn was turned away",
    "never sent: what it waited for had not ended when the run did",
)
_FAILURES = {
    RequestStatus.REJECTED: (ERROR, 0),
    RequestStatus.REFUSED_TOO_LONG: (ERROR, 1),
    RequestStatus.REFUSED_NEVER_FITS: (ERROR, 2),
    RequestStatus.WAITING: (TIMEOUT, 3),
    RequestStatus.RUNNING: (TIMEOUT, 3),
    RequestStatus.NOT_ARRIVED: (TIMEOUT, 4),
    RequestStatus.NOT_SENT: (ERROR, 5),
}
_NEVER_ENDED = 6


def write_run(
    outcomes: Outcomes, table: RequestTable, prefix: Path, horizon_us: int | None, created_at: str | None = None
) -> None:
    """Write a run as a TraceV2 whose replay gives the same outcomes.

    Requests that were never sent, because what they waited for never ended, stand in a file of their own.

    Args:
        outcomes: of the run.
        table: its requests, with their token content.
        prefix: path of the files, without their suffixes.
        horizon_us: end of the simulated time; None: there was none.
        created_at: when, as text; None: don't say.
    """
    records = _records(outcomes)
    unsent = outcomes.result.arrival_us == NEVER
    arrived = dataclasses.replace(table, arrival_us=records.arrival_us)
    write_tracev2(prefix, _header(outcomes.metadata, created_at), records, arrived, horizon_us, unsent)


def _header(about: Any, created_at: str | None) -> TraceHeader:
    engine = about["engine"]
    server = Server(
        type="vllm",
        model=about["model"],
        tensor_parallel=about["tp"],
        max_num_seqs=engine["max_num_running_reqs"],
        block_size=engine["block_size_tokens"],
        max_model_len=engine["max_model_len"],
    )
    return TraceHeader("generated", created_at, workload_spec=about["workload"].get("path"), server=server)


def _records(outcomes: Outcomes) -> TraceRecords:
    result, ttft_us, e2e_us = outcomes.result, outcomes.ttft_us(), outcomes.e2e_us()
    arrival_us = np.maximum(result.arrival_us, 0)  # of those that were never sent
    status, messages = _statuses(result.status)
    messages[(result.arrival_us == NEVER) & (result.status == RequestStatus.NOT_ARRIVED)] = _NEVER_ENDED
    return TraceRecords(
        **request_columns(outcomes.table),
        arrival_us=arrival_us,
        send_us=arrival_us,
        first_chunk_us=np.where(ttft_us >= 0, arrival_us + ttft_us, 0),
        last_chunk_us=np.where(e2e_us >= 0, arrival_us + e2e_us, 0),
        num_chunks=result.produced_tokens,
        status=status,
        error_message=Labels(messages, _MESSAGES),
    )


def _statuses(status: Ints) -> tuple[Ints, Ints]:
    codes, messages = np.full(len(status), OK), np.full(len(status), -1)
    for failure, (code, message) in _FAILURES.items():
        codes[status == failure] = code
        messages[status == failure] = message
    return codes, messages
