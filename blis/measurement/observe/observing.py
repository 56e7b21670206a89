"""`observe`: send a workload to a server and record what comes back."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blis.errors import WorkloadError
from blis.measurement.observe.client import connected
from blis.measurement.observe.clock import Clock
from blis.measurement.observe.conversations import Conversations
from blis.measurement.observe.dispatch import Dispatcher, Progress
from blis.measurement.observe.options import ObserveOptions
from blis.measurement.observe.prompts import Prompts
from blis.measurement.observe.recorder import Recorder, check_partial, write_chunk_times
from blis.measurement.observe.summary import summarise
from blis.measurement.observe.words import common_vocabulary, vocabulary_of
from blis.workload.requests import RequestTable
from blis.workload.traces.tracev2.header import Server, TraceHeader

_log = logging.getLogger("blis")


@dataclass(frozen=True)
class Observation:
    """What a measurement gave, besides its files.

    Attributes:
        summary: figures, see docs/observe.md.
        stopped_by: number of the signal that ended it early (Ctrl-C, SIGTERM); None: none did.
        file_error: why a file could not be written in the end; None: all were.
    """

    summary: dict[str, Any]
    stopped_by: int | None
    file_error: OSError | None


def observe(
    table: RequestTable,
    options: ObserveOptions,
    prefix: Path,
    *,
    seed: int = 42,
    horizon_us: int | None = None,
    tokenizer: str | None = None,
    chunk_times: Path | None = None,
    workload_spec: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Observation:
    """Send requests to a server at their times, and record a TraceV2.

    Must be called where no event loop runs. In the main thread Ctrl-C and SIGTERM end the measurement early: what is in
    flight is recorded as interrupted, and all files are written.

    Args:
        table: the requests.
        options: where and how to send them.
        prefix: path of the trace, without suffixes.
        seed: of the words in prompts.
        horizon_us: no request is sent later in the table's time; None: there is no such end.
        tokenizer: a ``tokenizer.json``, a folder with one, or a HuggingFace id; makes prompts of just as many tokens
            as wanted. None: of about as many.
        chunk_times: Parquet file to write with the arrival of each piece of each answer.
        workload_spec: what described the workload, for the header.
        progress: called four times a second.

    Raises:
        InputError: something asked for is wrong; nothing was sent.
        OSError: no file can be written there; nothing was sent.
    """
    if not len(table):
        raise WorkloadError("the workload holds no requests")
    vocabulary = common_vocabulary() if tokenizer is None else vocabulary_of(tokenizer)
    # chat templates add tokens of their own; only bare prompts can be made up to the last token
    special_tokens = vocabulary.special_tokens if options.api_format == "completions" else 0
    conversations = Conversations(table, Prompts(table, vocabulary, seed), special_tokens)
    check_partial(prefix)
    header = TraceHeader(
        "real",
        datetime.now(UTC).isoformat(timespec="seconds"),
        options.warm_up_requests,
        workload_spec,
        Server(model=options.model),
        options.rtt_ms,
    )
    recorder = Recorder(prefix, header, table, options.streaming)
    try:
        stopped_by = asyncio.run(_measure(table, options, conversations, recorder, horizon_us, progress))
    except BaseException:
        recorder.abandon()
        raise
    file_error = None
    try:
        recorder.finish()
        if chunk_times is not None:
            write_chunk_times(chunk_times, recorder.samples, table)
    except OSError as error:  # costs none of the figures
        file_error = error
    summary = summarise(
        table,
        recorder.samples,
        streaming=options.streaming,
        warm_up_requests=options.warm_up_requests,
        interrupted=stopped_by is not None,
    )
    _warn(summary)
    return Observation(summary, stopped_by, file_error)


async def _measure(
    table: RequestTable,
    options: ObserveOptions,
    conversations: Conversations,
    recorder: Recorder,
    horizon_us: int | None,
    progress: Callable[[Progress], None] | None,
) -> int | None:
    """Send everything; the number of the signal that ended it early, if any."""
    gc.collect()
    gc.freeze()  # collecting the package's own objects again and again would delay what is measured
    try:
        clock = Clock()
        async with connected(options, clock) as client:
            dispatcher = Dispatcher(
                table,
                conversations,
                client,
                clock,
                horizon_us=horizon_us,
                max_concurrency=options.max_concurrency,
                done=recorder.add,
            )
            await dispatcher.run(progress)
    finally:
        gc.unfreeze()
    return dispatcher.stopped_by


def _warn(summary: dict[str, Any]) -> None:
    if summary["saturated"]:
        cause = {
            "client": "this machine is too slow for the load",
            "max_concurrency": "they waited for one of the max_concurrency slots",
        }[summary["saturated_by"]]
        _log.warning("half of the requests were sent over %.0f ms late: %s", summary["lateness_p50_ms"], cause)
    if summary["missing_usage"]:
        _log.warning(
            "%d answers did not say how many tokens there were; wanted counts and chunks stand in",
            summary["missing_usage"],
        )
    if summary["unreadable_chunks"]:
        _log.warning("%d chunks were no JSON; they count as tokens", summary["unreadable_chunks"])
    if summary["interrupted"] and summary["not_sent"]:
        _log.warning("%d of %d requests were not sent before the end", summary["not_sent"], summary["requests"])
