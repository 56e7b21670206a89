"""Conversations in the format of ShareGPT: texts, from which lengths are estimated; no arrivals.

As vLLM's benchmark does, the first two messages of a conversation make a request: a prompt and its answer. A text
of w words (separated by white space) counts as ``ceil(w * tokens_per_word)`` tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from blis.workload.convert.json_lines import json_lines
from blis.workload.convert.source import Rows, Source

MESSAGES = "conversations"

_BATCH_ROWS = 1 << 12


def read_sharegpt(source: Source) -> Iterator[Rows]:
    """Read lengths. Conversations without an answer have an output of 0 tokens, empty ones no prompt either."""
    batch: list[tuple[int, int]] = []
    for place, record in _conversations(source):
        lengths = _lengths(source, place, record)
        if lengths is not None:
            batch.append(lengths)
        if len(batch) == _BATCH_ROWS:
            yield _rows(batch)
            batch = []
    if batch:
        yield _rows(batch)


def _conversations(source: Source) -> Iterator[tuple[str, Any]]:
    """The conversations of a JSON list or of JSON lines, and where each stands."""
    import ijson

    with source.path.open("rb") as file:
        is_list = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    if not is_list:
        yield from json_lines(source)
        return
    with source.path.open("rb") as file:
        try:
            for position, record in enumerate(ijson.items(source.watched(file), "item")):
                yield f"conversation {position}", record
        except ijson.JSONError as error:
            raise source.error(f"is no JSON: {' '.join(str(error).split())[:200]}") from None


def _lengths(source: Source, place: str, record: Any) -> tuple[int, int] | None:
    messages = record.get(MESSAGES) if isinstance(record, dict) else None
    if not isinstance(messages, list):
        source.bad_row(place, f"{MESSAGES}: expected a list of messages, got {str(messages)[:40]!r}")
        return None
    words = []
    for message in messages[:2]:
        text = message.get("value") if isinstance(message, dict) else None
        if not isinstance(text, str):
            source.bad_row(place, f"{MESSAGES}: expected messages with a text as value, got {str(text)[:40]!r}")
            return None
        words.append(len(text.split()))
    prompt, output = (math.ceil(count * source.options.tokens_per_word) for count in (*words, 0, 0)[:2])
    return prompt, output


def _rows(batch: list[tuple[int, int]]) -> Rows:
    prompt, output = zip(*batch, strict=True)
    return Rows(None, np.array(prompt, dtype=np.int64), np.array(output, dtype=np.int64))
