"""Where a request goes: the built-in routing policies as compiled functions. Ties go to the lowest index."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence, Sequence

from blis._core.codes import VIEW_HEADER, ViewColumn, ViewNumber, ViewWord
from blis.policies._jit import kernel
from blis.policies._scorer_kernels import add_score

_NUM_INSTANCES = int(ViewWord.NUM_INSTANCES)
_STATE_LENGTH = int(ViewWord.STATE_LENGTH)
_QUEUE_DEPTH = int(ViewColumn.QUEUE_DEPTH)
_BATCH_SIZE = int(ViewColumn.BATCH_SIZE)
_PENDING = int(ViewColumn.PENDING_REQUESTS)
_PREFIX_BLOCKS = int(ViewColumn.PREFIX_BLOCKS)
_SCORE = int(ViewNumber.SCORE)


def round_robin(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> int:
    turn = int(state[0])
    state[0] = turn + 1 if turn + 1 < words[_NUM_INSTANCES] else 0
    return turn


def least_loaded(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> int:
    return of_least_load(words)


def always_busiest(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> int:
    return of_most_load(words)


def prefix_affinity(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> int:
    return of_longest_prefix(words)


def weighted(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> int:
    score(words, numbers, state)
    return of_best_score(words[_NUM_INSTANCES], numbers)


@kernel
def load_of(words: Sequence[int], instance: int) -> int:
    """Requests that wait, run, or are on their way."""
    n, first = words[_NUM_INSTANCES], VIEW_HEADER + instance
    return words[first + _QUEUE_DEPTH * n] + words[first + _BATCH_SIZE * n] + words[first + _PENDING * n]


@kernel
def of_least_load(words: Sequence[int]) -> int:
    """The instance with the fewest requests."""
    chosen, least = 0, load_of(words, 0)
    for i in range(1, words[_NUM_INSTANCES]):
        load = load_of(words, i)
        if load < least:
            chosen, least = i, load
    return chosen


@kernel
def of_most_load(words: Sequence[int]) -> int:
    """The instance with the most requests."""
    chosen, most = 0, load_of(words, 0)
    for i in range(1, words[_NUM_INSTANCES]):
        load = load_of(words, i)
        if load > most:
            chosen, most = i, load
    return chosen


@kernel
def of_longest_prefix(words: Sequence[int]) -> int:
    """The instance that got most leading blocks of the prompt; of the least load if none got any."""
    n = words[_NUM_INSTANCES]
    first = VIEW_HEADER + _PREFIX_BLOCKS * n
    chosen, longest = -1, 0
    for i in range(n):
        if words[first + i] > longest:
            chosen, longest = i, words[first + i]
    return of_least_load(words) if chosen < 0 else chosen


@kernel
def score(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> None:
    """Fill the scores; the state holds the weights of the scorers, behind them which scorers these are."""
    n = words[_NUM_INSTANCES]
    for i in range(n):
        numbers[_SCORE * n + i] = 0.0
    num_scorers = words[_STATE_LENGTH] // 2
    for k in range(num_scorers):
        add_score(int(state[num_scorers + k]), state[k], words, numbers)


@kernel
def of_best_score(n: int, numbers: MutableSequence[float]) -> int:
    """The instance with the highest score."""
    chosen, best = 0, numbers[_SCORE * n]
    for i in range(1, n):
        value = numbers[_SCORE * n + i]
        if value > best:
            chosen, best = i, value
    return chosen


#: All of them, by name.
POLICIES: dict[str, Callable[..., int]] = {
    "round-robin": round_robin,
    "least-loaded": least_loaded,
    "always-busiest": always_busiest,
    "prefix-affinity": prefix_affinity,
    "weighted": weighted,
}
