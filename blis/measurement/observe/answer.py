"""What a server answers: when its tokens came, what they say, and how many there were."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from typing import Any

from blis.workload.requests import MOST_TOKENS


class Answer:
    """An answer as it comes in.

    Attributes:
        chunk_us: when each piece that holds tokens came.
        text: what they say.
        input_tokens: as the server counts them; None: it does not say.
        output_tokens: likewise.
        is_complete: the server said that these were all tokens.
        is_over: nothing more is to come of a stream.
        num_unreadable: pieces that are no JSON.
        refusal: what the server says went wrong; None: nothing.
    """

    __slots__ = (
        *("chunk_us", "text", "input_tokens", "output_tokens"),
        *("is_complete", "is_over", "num_unreadable", "refusal"),
    )

    def __init__(self) -> None:
        self.chunk_us: list[int] = []
        self.text: list[str] = []
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.is_complete = False
        self.is_over = False
        self.num_unreadable = 0
        self.refusal: str | None = None

    def take_line(self, line: bytes, now_us: int) -> None:
        """Take a line of a stream of server-sent events; all that is no ``data:`` says nothing here."""
        line = line.removeprefix(BOM_UTF8)  # a stream may begin with one
        if line.startswith(b"data:"):
            self._take_event(line[5:].strip(), now_us)

    def _take_event(self, data: bytes, now_us: int) -> None:
        if data == b"[DONE]":
            self.is_complete = self.is_over = True
            return
        try:
            event = json.loads(data)
        except ValueError:  # tokens, most likely, but nobody can read them
            self.num_unreadable += 1
            self.chunk_us.append(now_us)
            return
        if not isinstance(event, dict) or event.get("error") or event.get("object") == "error":
            self.refusal = data.decode(errors="replace")
            self.is_over = True
            return
        self._take_usage(event.get("usage"))
        choices = event.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return
        text, is_token = _piece(choices[0])
        if text:
            self.text.append(text)
        if is_token:
            self.chunk_us.append(now_us)
        self.is_complete |= choices[0].get("finish_reason") is not None

    def take_whole(self, body: bytes, now_us: int) -> None:
        """Take an answer that came in one piece.

        Raises:
            ValueError: it is no JSON.
        """
        whole = json.loads(body)
        choices = whole.get("choices") if isinstance(whole, dict) else None
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            self.refusal = body.decode(errors="replace")
            return
        self._take_usage(whole.get("usage"))
        message = choices[0].get("message")
        text = message.get("content") if isinstance(message, dict) else choices[0].get("text")
        if isinstance(text, str):
            self.text.append(text)
        self.chunk_us.append(now_us)
        self.is_complete = True

    def _take_usage(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        self.input_tokens = _count(usage.get("prompt_tokens"), 1, self.input_tokens)
        self.output_tokens = _count(usage.get("completion_tokens"), 0, self.output_tokens)


def _count(value: Any, least: int, otherwise: int | None) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_TOKENS
    return value if is_count else otherwise


def _piece(choice: dict[str, Any]) -> tuple[str, bool]:
    """The text of a piece, and whether it stands for tokens.

    Tokens may have no text: special ones, or parts of a character. So an empty piece counts, unless it tells only
    who speaks (the first one of chat streams) or that the end is reached.
    """
    delta = choice.get("delta")
    source = delta if isinstance(delta, dict) else choice
    text = source.get("content") if source is delta else source.get("text")
    text = text if isinstance(text, str) else ""
    is_thought = bool(source.get("reasoning_content") or source.get("reasoning") or source.get("tool_calls"))
    is_bare = bool(source.get("role")) or choice.get("finish_reason") is not None
    return text, bool(text) or is_thought or not is_bare
