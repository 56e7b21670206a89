"""From what was measured to the records of a TraceV2, and to the requests its replay sends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blis.measurement.observe.conversations import continued_rows
from blis.measurement.observe.sample import Sample
from blis.workload.labels import labels
from blis.workload.requests import Ints, LiteralTokens, RequestTable
from blis.workload.traces.tracev2.records import OK, TraceRecords, no_labels
from blis.workload.traces.tracev2.requests import request_columns

#: Fills prompts up that the server counted longer than they were meant to be.
_FILLER_ID = 0


def input_tokens_of(sample: Sample, table: RequestTable) -> int:
    """Prompt length as the server counted it, else as wanted."""
    return int(table.input_tokens[sample.row]) if sample.input_tokens is None else sample.input_tokens


def output_tokens_of(sample: Sample, table: RequestTable, streaming: bool) -> int:
    """Output length as the server counted it, else by chunks, or as wanted if there are none to count."""
    if sample.output_tokens is not None:
        return sample.output_tokens
    is_wanted = sample.status == OK and not streaming
    return int(table.output_tokens[sample.row]) if is_wanted else len(sample.chunk_us)


def trace_records(table: RequestTable, samples: Sequence[Sample], streaming: bool) -> TraceRecords:
    """What a data file says of some requests.

    Args:
        table: all requests.
        samples: those that are over, in ascending rows.
        streaming: whether tokens were read as they came.
    """

    def ints(values: Sequence[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    said = request_columns(table.take(ints([sample.row for sample in samples])))
    return TraceRecords(
        **said
        | {
            "streaming": np.full(len(samples), streaming),
            "input_tokens": ints([input_tokens_of(sample, table) for sample in samples]),
            "output_tokens": ints([output_tokens_of(sample, table, streaming) for sample in samples]),
        },
        arrival_us=ints([sample.intended_us for sample in samples]),
        send_us=ints([sample.send_us for sample in samples]),
        first_chunk_us=ints([sample.first_chunk_us for sample in samples]),
        last_chunk_us=ints([sample.last_chunk_us for sample in samples]),
        num_chunks=ints([len(sample.chunk_us) for sample in samples]),
        status=ints([sample.status for sample in samples]),
        error_message=labels([sample.error for sample in samples]) or no_labels(len(samples)),
    )


def measured_requests(table: RequestTable, samples: Sequence[Sample], records: TraceRecords) -> RequestTable:
    """The requests as they really were: their arrivals, and as many tokens as the server counted.

    Literal tokens are fitted to these counts: prompts are cut or filled up at their ends, and what continues a
    conversation begins with the turn before as that was.
    """
    taken = table.take(np.array([sample.row for sample in samples], dtype=np.int64))
    content = taken.content
    if isinstance(content, LiteralTokens):
        content = _fitted(taken, content, records)
    return dataclasses.replace(
        taken,
        arrival_us=records.arrival_us,
        input_tokens=np.maximum(records.input_tokens, 1),
        output_tokens=records.output_tokens,
        content=content,
    )


def _fitted(taken: RequestTable, content: LiteralTokens, records: TraceRecords) -> LiteralTokens:
    before = continued_rows(taken)
    fitted: list[NDArray[np.int32]] = []
    for row in range(len(taken)):
        start, middle = int(content.offsets[row]), int(content.offsets[row] + taken.input_tokens[row])
        prompt = content.token_ids[start:middle]
        if 0 <= before[row] < row:
            known = int(taken.input_tokens[before[row]] + taken.output_tokens[before[row]])
            prompt = np.concatenate((fitted[before[row]], prompt[known:]))
        output = content.token_ids[middle : int(content.offsets[row + 1])]
        lengths = int(records.input_tokens[row]), int(records.output_tokens[row])
        fitted.append(np.concatenate((_fit(prompt, lengths[0]), _fit(output, lengths[1]))))
    offsets = np.concatenate(([0], np.cumsum([len(tokens) for tokens in fitted])))
    return LiteralTokens(np.concatenate(fitted), offsets)


def _fit(tokens: NDArray[np.int32], length: int) -> NDArray[np.int32]:
    return np.concatenate((tokens[:length], np.full(max(length - len(tokens), 0), _FILLER_ID, dtype=np.int32)))
