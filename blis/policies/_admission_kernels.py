"""Who is let in: the built-in admission policies as compiled functions."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence, Sequence

from blis._core.codes import ViewWord
from blis.policies._jit import kernel

_NOW_US = int(ViewWord.NOW_US)
_INPUT_TOKENS = int(ViewWord.INPUT_TOKENS)

#: State of a token bucket; both times are µs, the rate is tokens per second.
LEVEL, LAST_US, CAPACITY, RATE = range(4)


def always_admit(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> int:
    return 1


def token_bucket(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> int:
    return take(words[_NOW_US], words[_INPUT_TOKENS], state)


def reject_all(words: Sequence[int], numbers: MutableSequence[float], state: MutableSequence[float]) -> int:
    return 0


@kernel
def take(now_us: int, cost: int, bucket: MutableSequence[float]) -> int:
    """Refill the bucket for the time that has passed, then take the cost if it is there; a refusal costs nothing."""
    elapsed_us = now_us - bucket[LAST_US]
    if elapsed_us > 0:
        bucket[LEVEL] = min(bucket[CAPACITY], bucket[LEVEL] + elapsed_us * bucket[RATE] / 1e6)
        bucket[LAST_US] = now_us
    if bucket[LEVEL] < cost:
        return 0
    bucket[LEVEL] -= cost
    return 1


#: All of them, by name.
POLICIES: dict[str, Callable[..., int]] = {
    "always-admit": always_admit,
    "token-bucket": token_bucket,
    "reject-all": reject_all,
}
