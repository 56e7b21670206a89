"""What is good about an instance: each scorer adds ``weight * score`` to the column of scores.

Scores lie in [0, 1], the higher the better. Docstrings say the score of instance i; ``load`` is waiting + running
+ pending requests. Every loop runs over contiguous columns, so that several instances are scored at once.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

from blis._core.codes import VIEW_HEADER, ViewColumn, ViewNumber, ViewWord
from blis.policies._jit import kernel

_NUM_INSTANCES = int(ViewWord.NUM_INSTANCES)
_PROMPT_BLOCKS = int(ViewWord.PROMPT_BLOCKS)
_QUEUE_DEPTH = int(ViewColumn.QUEUE_DEPTH)
_BATCH_SIZE = int(ViewColumn.BATCH_SIZE)
_PENDING = int(ViewColumn.PENDING_REQUESTS)
_PREFIX_BLOCKS = int(ViewColumn.PREFIX_BLOCKS)
_CACHED_BLOCKS = int(ViewColumn.CACHED_BLOCKS)
_KV_UTILIZATION = int(ViewNumber.KV_UTILIZATION)
_SCORE = int(ViewNumber.SCORE)

#: What a scorer is called in the state of a weighted policy.
QUEUE_DEPTH, KV_UTILIZATION, LOAD_BALANCE, ACTIVE_REQUESTS, PREFIX_AFFINITY, PRECISE_PREFIX_CACHE = range(6)


@kernel
def column_start(words: Sequence[int], column: int) -> int:
    """Where an integer column begins in ``words``."""
    return VIEW_HEADER + column * words[_NUM_INSTANCES]


@kernel
def score_column(words: Sequence[int]) -> int:
    """Where the scores begin in ``numbers``."""
    return _SCORE * words[_NUM_INSTANCES]


@kernel
def add_score(scorer: int, weight: float, words: Sequence[int], numbers: MutableSequence[float]) -> None:
    """Let one scorer add its share to the scores of all instances."""
    if scorer == QUEUE_DEPTH:
        add_queue_depth(weight, words, numbers)
    elif scorer == KV_UTILIZATION:
        add_kv_utilization(weight, words, numbers)
    elif scorer == LOAD_BALANCE:
        add_load_balance(weight, words, numbers)
    elif scorer == ACTIVE_REQUESTS:
        add_active_requests(weight, words, numbers)
    elif scorer == PREFIX_AFFINITY:
        add_share_of_prompt(_PREFIX_BLOCKS, weight, words, numbers)
    else:
        add_share_of_prompt(_CACHED_BLOCKS, weight, words, numbers)


@kernel
def add_queue_depth(weight: float, words: Sequence[int], numbers: MutableSequence[float]) -> None:
    """``(max d - d) / (max d - min d)`` with d = waiting + pending requests; 1 for all if these are alike."""
    n, scores = words[_NUM_INSTANCES], score_column(words)
    waiting, pending = column_start(words, _QUEUE_DEPTH), column_start(words, _PENDING)
    least = most = words[waiting] + words[pending]
    for i in range(n):
        depth = words[waiting + i] + words[pending + i]
        least = min(least, depth)
        most = max(most, depth)
    if least == most:
        for i in range(n):
            numbers[scores + i] += weight
        return
    spread = float(most - least)
    for i in range(n):
        depth = words[waiting + i] + words[pending + i]
        numbers[scores + i] += weight * ((most - depth) / spread)


@kernel
def add_kv_utilization(weight: float, words: Sequence[int], numbers: MutableSequence[float]) -> None:
    """``1 - kv_utilization``."""
    n, scores = words[_NUM_INSTANCES], score_column(words)
    used = _KV_UTILIZATION * n
    for i in range(n):
        numbers[scores + i] += weight * (1.0 - numbers[used + i])


@kernel
def add_load_balance(weight: float, words: Sequence[int], numbers: MutableSequence[float]) -> None:
    """``1 / (1 + load)``."""
    n, scores = words[_NUM_INSTANCES], score_column(words)
    waiting, running = column_start(words, _QUEUE_DEPTH), column_start(words, _BATCH_SIZE)
    pending = column_start(words, _PENDING)
    for i in range(n):
        load = words[waiting + i] + words[running + i] + words[pending + i]
        numbers[scores + i] += weight * (1.0 / (1.0 + load))


@kernel
def add_active_requests(weight: float, words: Sequence[int], numbers: MutableSequence[float]) -> None:
    """``(max load - load) / max load``; 1 for all if none has any."""
    n, scores = words[_NUM_INSTANCES], score_column(words)
    waiting, running = column_start(words, _QUEUE_DEPTH), column_start(words, _BATCH_SIZE)
    pending = column_start(words, _PENDING)
    most = words[waiting] + words[running] + words[pending]
    for i in range(n):
        most = max(most, words[waiting + i] + words[running + i] + words[pending + i])
    if most == 0:
        for i in range(n):
            numbers[scores + i] += weight
        return
    all_ = float(most)
    for i in range(n):
        load = words[waiting + i] + words[running + i] + words[pending + i]
        numbers[scores + i] += weight * ((most - load) / all_)


@kernel
def add_share_of_prompt(column: int, weight: float, words: Sequence[int], numbers: MutableSequence[float]) -> None:
    """``column / prompt_blocks``; 0 for prompts shorter than a block."""
    n, scores = words[_NUM_INSTANCES], score_column(words)
    if words[_PROMPT_BLOCKS] == 0:
        return
    known, whole = column_start(words, column), float(words[_PROMPT_BLOCKS])
    for i in range(n):
        numbers[scores + i] += weight * (words[known + i] / whole)
