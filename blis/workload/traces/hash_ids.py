"""Prefix identity as recorded in traces: ids of token blocks, as in the Mooncake trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError
from blis.workload._trie import common_prefixes
from blis.workload.requests import Ints, TokenStreams


@dataclass(frozen=True)
class HashIds:
    """For each request the ids of its leading blocks of tokens.

    Id i of a request stands for its tokens ``[i * block_tokens, (i + 1) * block_tokens)``. An id is that of a
    whole path: two requests have the same tokens as far as their lists of ids agree from the start.

    Attributes:
        offsets: (n + 1,) the ids of request r are ``ids[offsets[r]:offsets[r + 1]]``.
        ids: ids of all requests, request after request.
        block_tokens: tokens per id, >= 1.
    """

    offsets: Ints
    ids: Ints
    block_tokens: int


#: No request has more; a larger block is the same as one of so many tokens.
_MOST_TOKENS = 2**32
#: Ids may be hashes of 64 bits with a sign or without; they are kept with one.
LEAST_ID, MOST_ID = -(2**63), 2**64 - 1
#: A size fits if so much of the rows say so.
_NEARLY_ALL = 0.9
#: Sizes that are looked at in place of one that does not fit: those that anybody uses.
_USUAL_SIZES = tuple(2**power for power in range(14))


def signed(ids: Sequence[int]) -> Sequence[int]:
    """Ids as signed integers of the same 64 bits."""
    return ids if max(ids, default=0) < 2**63 else [one - 2**64 if one >= 2**63 else one for one in ids]


def share_that_fits(block_tokens: int, input_tokens: Ints, output_tokens: Ints, num_ids: Ints) -> float:
    """Share of the requests with ids whose ids can be blocks of that size: of the prompt, or with output, too.

    A last block that is not full may have an id or none. All arrays have a value per request.
    """
    some, block_tokens = num_ids > 0, min(block_tokens, _MOST_TOKENS)
    fewest, most = input_tokens // block_tokens, -(-(input_tokens + output_tokens) // block_tokens)
    return _share((fewest <= num_ids) & (num_ids <= most), some)


def better_block_tokens(block_tokens: int, input_tokens: Ints, output_tokens: Ints, num_ids: Ints) -> int | None:
    """The size that fits nearly all requests, if the given one does not; None: it does, or there is none.

    A list that stops before its prompt does says nothing wrong; so a size is named only if lists end with prompts.
    """
    if share_that_fits(block_tokens, input_tokens, output_tokens, num_ids) >= _NEARLY_ALL:
        return None
    some = num_ids > 0
    shares = {size: _share(num_ids == -(-input_tokens // size), some) for size in _USUAL_SIZES}
    best = max(_USUAL_SIZES, key=lambda size: shares[size])
    return best if shares[best] >= _NEARLY_ALL else None


def _share(holds: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(holds[among].mean()) if among.any() else 1.0


def token_streams(hash_ids: HashIds, input_tokens: Ints, output_tokens: Ints) -> TokenStreams:
    """Say in token streams what hash ids say.

    Every request gets a stream of its own, which forks from the first request that had the longest common
    beginning. The last id of a list may stand for a part of a block: a list that reaches no further than the
    block in which the prompt ends describes tokens of the prompt only; a longer one describes output, too.

    Args:
        hash_ids: the lists.
        input_tokens: (n,) prompt lengths.
        output_tokens: (n,) output lengths.

    Raises:
        WorkloadError: a request has ids for more tokens than it has.
    """
    size = hash_ids.block_tokens
    lengths = np.diff(hash_ids.offsets)
    described = np.where(lengths * size < input_tokens + size, input_tokens, input_tokens + output_tokens)
    bad = np.flatnonzero((lengths - 1) * size >= described)
    if len(bad):
        row = int(bad[0])
        raise WorkloadError(
            f"row {row}: hash_ids: {lengths[row]} ids of {size} tokens are too many for a prompt and output of"
            f" {described[row]} tokens together"
        )
    words = np.ascontiguousarray(hash_ids.ids, dtype=np.int64).view(np.int32)
    owner, matched = common_prefixes(words, 2 * hash_ids.offsets[:-1], lengths, 2)
    covered = np.minimum(described, lengths * size)
    fork_tokens = np.minimum(matched * size, np.minimum(covered, np.where(owner < 0, 0, covered[owner])))
    return TokenStreams(np.arange(len(lengths)), owner, fork_tokens)
