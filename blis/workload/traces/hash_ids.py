"""Prefix identity as recorded in traces: ids of token blocks, as in the Mooncake trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
