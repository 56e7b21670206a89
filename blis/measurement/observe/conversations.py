"""Prompts of conversations: they contain what the server really answered, so that its prefix cache finds it again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blis.measurement.observe.prompts import Prompts
from blis.workload.requests import Ints, LiteralTokens, RequestTable, TokenStreams

#: What user and server said in turn, the user first and last.
Messages = tuple[str, ...]


def continued_rows(table: RequestTable) -> Ints:
    """(n,) the row whose prompt and output each request's prompt begins with, the turn before in its session, or -1."""
    before = np.full(len(table), -1)
    if table.sessions is None or table.content is None:
        return before
    session, turn = table.sessions.session, table.sessions.turn
    order = np.lexsort((turn, session))
    first, second = order[:-1], order[1:]
    total = table.input_tokens + table.output_tokens
    follows = (session[first] == session[second]) & (session[first] >= 0) & (turn[first] < turn[second])
    follows &= table.input_tokens[second] >= total[first]
    first, second = first[follows], second[follows]
    shares = _begins_alike(table.content, first, second, total)
    before[second[shares]] = first[shares]
    return before


def _begins_alike(content: TokenStreams | LiteralTokens, first: Ints, second: Ints, total: Ints) -> NDArray[np.bool_]:
    if isinstance(content, TokenStreams):
        same: NDArray[np.bool_] = content.stream[first] == content.stream[second]
        return same & (content.stream[first] >= 0)
    ids, start = content.token_ids, content.offsets
    return np.array(
        [
            np.array_equal(ids[start[a] : start[a] + total[a]], ids[start[b] : start[b] + total[a]])
            for a, b in zip(first, second, strict=True)
        ],
        dtype=bool,
    )


class Conversations:
    """Makes the prompt of each request out of words and of earlier answers.

    Args:
        table: the requests.
        prompts: their words.
        special_tokens: that the server's tokenizer adds to a prompt by itself.
    """

    def __init__(self, table: RequestTable, prompts: Prompts, special_tokens: int = 0) -> None:
        self._table, self._prompts, self._special_tokens = table, prompts, special_tokens
        self.before = continued_rows(table)
        self._is_continued = np.isin(np.arange(len(table)), self.before)
        self._so_far: dict[int, Messages] = {}

    def messages(self, row: int) -> Messages:
        """What a request says. A turn whose predecessor has no answer yet is made of words throughout."""
        stop, before = int(self._table.input_tokens[row]), int(self.before[row])
        if before in self._so_far:
            start = int(self._table.input_tokens[before] + self._table.output_tokens[before])
            return (*self._so_far.pop(before), self._prompts.text(row, start, stop))
        return (self._prompts.text(row, 0, stop - self._special_tokens),)

    def answered(self, row: int, messages: Messages, answer: str) -> None:
        """Keep an answer, if a later prompt contains it."""
        if self._is_continued[row]:
            self._so_far[row] = (*messages, answer)
