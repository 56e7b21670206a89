"""Conversations in the format of ShareGPT, or as chat messages: texts, whose lengths are estimated; no arrivals.

A conversation makes one request: the prompt is all that precedes the first answer to a user, system messages included,
and the answer is its output. What has no such answer is left out. (vLLM's benchmark takes the first two messages,
whoever they are from, and drops conversations of one.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from blis.errors import nearest
from blis.workload.convert.json_lines import json_records
from blis.workload.convert.source import Rows, Source
from blis.workload.convert.text_tokens import estimate_tokens

#: What the list of a conversation's messages may be called, and in a message who wrote it and what.
MESSAGES = ("conversations", "messages")
_PARTS: tuple[tuple[tuple[str, str], Any], ...] = ((("from", "role"), None), (("value", "content"), ...))
#: Who a message is from; only the difference between the three matters.
_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model", "bot", "bing", "bard", "claude"), "assistant"),
    **dict.fromkeys(("system", "developer", "tool", "function", "observation"), "other"),
}

_BATCH_ROWS = 1 << 12


class _Message(NamedTuple):
    """Who wrote what; the role is empty if the message does not say."""

    role: str
    text: str


class _WrongError(Exception):
    """A conversation makes no sense; says why."""


def read_sharegpt(source: Source) -> Iterator[Rows]:
    """Read lengths. Conversations without an answer are counted, empty ones have no prompt."""
    source.assume(f"tokens are estimated from texts, {_rule(source)}")
    batch: list[tuple[int, int]] = []
    for place, record in json_records(source, "conversation", are_texts=True):
        try:
            request = _request(source, _messages(record))
        except _WrongError as error:
            source.bad_row(place, str(error))
            continue
        if request is None:
            source.num_unanswered += 1
            continue
        batch.append(request)
        if len(batch) == _BATCH_ROWS:
            yield _rows(batch)
            batch = []
    if batch:
        yield _rows(batch)


def _rule(source: Source) -> str:
    given = source.options.tokens_per_word
    if given is None:
        return "by words and characters of each script"
    return f"{given:g} per word, by characters where a script does not set words apart"


def _messages(record: Any) -> list[_Message]:
    name = next((name for name in MESSAGES if isinstance(record, dict) and name in record), MESSAGES[0])
    messages = record.get(name) if isinstance(record, dict) else None
    if not isinstance(messages, list):
        raise _WrongError(f"{name}: expected a list of messages, got {str(messages)[:40]!r}")
    return [_message(f"{name}[{index}]", message) for index, message in enumerate(messages)]


def _message(place: str, message: Any) -> _Message:
    fields = message if isinstance(message, dict) else {}
    role, content = (next((fields[name] for name in names if name in fields), missing) for names, missing in _PARTS)
    text = _text(content)
    if text is None:
        raise _WrongError(f"{place}: expected a message with a text as value or content, got {str(message)[:40]!r}")
    known = "" if role is None else _ROLES.get(str(role).lower())
    if known is None:
        raise _WrongError(f"{place}: unknown role {str(role)[:40]!r}; {nearest(str(role).lower(), _ROLES)}")
    return _Message(known, text)


def _text(content: Any) -> str | None:
    """A message's text; chat messages may have it in parts, of which images count nothing, or none (calls of tools)."""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return "" if content is None else content if isinstance(content, str) else None


def _request(source: Source, messages: Sequence[_Message]) -> tuple[int, int] | None:
    """Lengths of prompt and output; None: nobody answers."""
    if not messages:
        return 0, 0
    roles = [message.role for message in messages]
    if not any(roles):
        source.assume("messages do not say who they are from: taken as user and assistant in turn")
        roles = ["user", "assistant"][: len(messages)]
    if "user" not in roles:
        return None
    after = roles.index("user")
    answer = next(
        (at for at in range(after, len(roles)) if roles[at] == "assistant" and messages[at].text.strip()), None
    )
    if answer is None:
        return None
    per_word = source.options.tokens_per_word
    prompt = sum(estimate_tokens(message.text, per_word) for message in messages[:answer])
    return prompt, estimate_tokens(messages[answer].text, per_word)


def _rows(batch: list[tuple[int, int]]) -> Rows:
    prompt, output = zip(*batch, strict=True)
    return Rows(None, np.array(prompt, dtype=np.int64), np.array(output, dtype=np.int64))
