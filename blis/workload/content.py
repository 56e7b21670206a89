"""From what a table says about token content to identities of KV blocks.

The engine never sees tokens. For one block size it gets, per request, how many of its leading full blocks
anybody else has too, and a dense identity for each of those; everything behind is private and nameless.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError
from blis.workload._trie import common_prefixes
from blis.workload.requests import Ints, LiteralTokens, RequestTable, TokenStreams

_MAX_IDS = 2**31 - 1


@dataclass(frozen=True)
class SharedBlocks:
    """Identities of the blocks that at least two requests have.

    The blocks of request r with an identity are ``leaf[r]``, ``parent[leaf[r]]``, … back to the first,
    ``num_shared[r]`` in all. Two blocks have one identity exactly if they and all before them hold the
    same tokens.

    Attributes:
        num_shared: (n,) int32, leading full blocks that some other request has too.
        leaf: (n,) int32, identity of the last of them, -1 if there is none.
        parent: (c,) int32, per identity that of the block before it, -1 for a first block. ``parent[id] < id``.
    """

    num_shared: NDArray[np.int32]
    leaf: NDArray[np.int32]
    parent: NDArray[np.int32]


def shared_blocks(table: RequestTable, block_size_tokens: int, enable: bool = True) -> SharedBlocks:
    """Find the blocks that requests share.

    A request of I input and O output tokens has ``(I + max(O, 1) - 1) // block_size_tokens`` full blocks:
    the last token of an output never gets into the cache.

    Args:
        table: the requests.
        block_size_tokens: tokens per KV block, >= 1.
        enable: False: nothing is shared, whatever the table says (prefix caching is off).

    Raises:
        WorkloadError: the table's streams make no sense, or more than 2**31 - 1 blocks are shared.
    """
    count = len(table)
    num_shared = np.zeros(count, dtype=np.int32)
    leaf = np.full(count, -1, dtype=np.int32)
    if table.content is None or not enable or count == 0:
        return SharedBlocks(num_shared, leaf, np.empty(0, dtype=np.int32))
    depth = (table.input_tokens + np.maximum(table.output_tokens, 1) - 1) // block_size_tokens
    content = table.content
    streams = content if isinstance(content, TokenStreams) else _streams(table, content, depth, block_size_tokens)
    parent = _number(streams, depth, block_size_tokens, num_shared, leaf)
    return SharedBlocks(num_shared, leaf, parent)


def _streams(table: RequestTable, tokens: LiteralTokens, depth: Ints, block_size_tokens: int) -> TokenStreams:
    """Say in streams which full blocks are alike; tokens behind the common blocks count as different."""
    expected = np.concatenate(([0], np.cumsum(table.input_tokens + table.output_tokens)))
    if not np.array_equal(tokens.offsets, expected) or len(tokens.token_ids) != expected[-1]:
        raise WorkloadError(
            "content: token ids and their offsets must fit input_tokens + output_tokens of the requests"
        )
    owner, matched = common_prefixes(tokens.token_ids, tokens.offsets[:-1], depth, block_size_tokens)
    return TokenStreams(np.arange(len(depth)), owner, matched * block_size_tokens)


def _number(
    streams: TokenStreams,
    depth: Ints,
    block_size_tokens: int,
    num_shared: NDArray[np.int32],
    leaf: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Fill ``num_shared`` and ``leaf``, return the parents of the identities."""
    from blis.workload import _stream_kernels as kernels

    stream = np.ascontiguousarray(streams.stream, dtype=np.int64)
    parent = np.ascontiguousarray(streams.parent, dtype=np.int64)
    _check(streams, len(depth))
    fork = np.where(parent < 0, 0, streams.fork_tokens // block_size_tokens)
    scratch = np.zeros(len(parent), dtype=np.int64)
    shared = np.zeros(len(parent), dtype=np.int64)
    kernels.shared_lengths(stream, depth, parent, fork, scratch, shared)
    own = np.maximum(shared - fork, 0)
    num_ids = int(own.sum())
    if num_ids > _MAX_IDS:
        raise WorkloadError(f"requests share {num_ids} different KV blocks; at most {_MAX_IDS} can be told apart")
    block_parent = np.empty(num_ids, dtype=np.int32)
    kernels.number_blocks(
        stream, depth, parent, fork, shared, np.cumsum(own) - own, scratch, num_shared, leaf, block_parent
    )
    return block_parent


def _check(streams: TokenStreams, count: int) -> None:
    stream, parent, fork_tokens = streams.stream, streams.parent, streams.fork_tokens
    if len(stream) != count:
        raise WorkloadError(f"content: {len(stream)} streams for {count} requests")
    if len(parent) != len(fork_tokens):
        raise WorkloadError(f"content: {len(parent)} parents but {len(fork_tokens)} forks of streams")
    if stream.max(initial=-1) >= len(parent):
        raise WorkloadError(f"content: request of stream {int(stream.max())}, but there are {len(parent)} streams")
    bad = np.flatnonzero((parent >= np.arange(len(parent))) | (fork_tokens < 0))
    if len(bad):
        s = int(bad[0])
        found = f"stream {s} forks from {int(parent[s])} at {int(fork_tokens[s])} tokens"
        raise WorkloadError(f"content: {found}; a parent must come before its children, and a fork be >= 0")
