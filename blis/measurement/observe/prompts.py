"""Text for prompts: who shares tokens in a workload shares words here, from the first word on.

The word at a place is a hash of the seed and of what stands there: a place of a token stream, or a literal token id. So
it is always the same, and needs to be kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from blis.measurement.observe.words import Vocabulary, text_of
from blis.workload.requests import Ints, LiteralTokens, RequestTable, TokenStreams
from blis.workload.rng import stream

_Hashes = NDArray[np.uint64]


class Prompts:
    """The words of all prompts of a workload, each made when it is asked for.

    Args:
        table: the requests.
        vocabulary: what words there are.
        seed: other seeds give other words, so that a server finds nothing of an earlier measurement in its cache.
    """

    def __init__(self, table: RequestTable, vocabulary: Vocabulary, seed: int) -> None:
        self._content = table.content
        self._words = np.array(vocabulary.words, dtype=object)
        self._salt = stream(seed, "prompt words").integers(2**63, dtype=np.uint64)

    def text(self, row: int, start: int, stop: int) -> str:
        """The words of one prompt from place ``start`` up to ``stop``, at least one of them."""
        stop = max(stop, start + 1)
        content = self._content
        if isinstance(content, LiteralTokens):
            first = int(content.offsets[row])
            numbers = self._of_ids(content.token_ids[first + start : first + stop])
        else:
            parts = [self._of_stream(*part) for part in _parts(content, row, start, stop)]
            numbers = np.concatenate(parts[::-1])
        return text_of(self._words[numbers].tolist())

    def _of_stream(self, number: int, fork: int, start: int, stop: int) -> Ints:
        """Numbers of the words at some places of a stream."""
        places = np.arange(start, stop, dtype=np.uint64)
        hashes = _mix(_mix(places + self._salt) ^ _mix(np.array([number], dtype=np.int64).astype(np.uint64)))
        numbers = self._numbers(hashes)
        if start == fork:  # streams with numbers in a row differ from the first word of their own on
            numbers[0] = (number + int(self._salt)) % len(self._words)
        return numbers

    def _of_ids(self, token_ids: NDArray[np.int32]) -> Ints:
        return self._numbers(_mix(token_ids.astype(np.int64).astype(np.uint64) + self._salt))

    def _numbers(self, hashes: _Hashes) -> Ints:
        return (hashes % np.uint64(len(self._words))).astype(np.int64)


def _parts(content: TokenStreams | None, row: int, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Number and fork of the streams that places of a prompt come from, with their places; the last ones first."""
    number = -1 if content is None else int(content.stream[row])
    if content is None or number < 0:
        yield -1 - row, 0, start, stop  # a stream nobody else knows
        return
    while stop > start:
        parent = int(content.parent[number])
        fork = 0 if parent < 0 else int(content.fork_tokens[number])
        if stop > fork:
            yield number, fork, max(start, fork), stop
            stop = max(start, fork)
        number = parent


def _mix(values: _Hashes) -> _Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): 64 bits in, 64 well-mixed bits out."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
