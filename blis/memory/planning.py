"""How many blocks vLLM makes of the memory for KV caches, of which size, and what it says of them.

The rules are those that vLLM 0.33 showed when its planner was asked about models with all kinds of layers; older
releases differ (`Rules`). A *block* is one number in one pool. It is given to a *group* of layers of one kind and then
holds so many tokens in all of them, or one state.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from blis.errors import CapacityError
from blis.memory.caches import LayerCache, StateCache, TokenCache

#: Where a state is kept for each block, a block ends where a chunk of the scan does.
_SCAN_CHUNK_TOKENS = 256
#: Buckets of layers that differ by less than this make groups as large as the larger one.
_MOST_UNEQUAL = 1.5


@dataclass(frozen=True)
class Rules:
    """What a release of vLLM does in its way.

    Attributes:
        has_groups: layers of several kinds get groups; without, windows and chunks count as full attention.
        groups_chunks: chunks get groups, too; else they count as full attention.
        mixes_pages: layers of one kind may have pages of several sizes.
        evens_out: groups may be as large as the larger bucket.
        pads_pages: pages of unequal size are padded where one doesn't divide the other.
        counts_in_flight: tokens of each batch in flight widen a window's share; else those of one.
        reserves_null_block: block 0 is subtracted before a request of full length is fitted in.
        keeps_all_states: with prefix caching a state is kept for each block of a request, where kernels can do it.
        most_snapshots: states of one request that are kept at most beside the current one, else.
        latent_alignment_tokens: blocks of latent attention beside state layers are multiples of it.
        logs: what the logged size of the cache is: full requests times their length, or blocks shared out among groups.
    """

    has_groups: bool = True
    groups_chunks: bool = True
    mixes_pages: bool = True
    evens_out: bool = True
    pads_pages: bool = True
    counts_in_flight: bool = True
    reserves_null_block: bool = True
    keeps_all_states: bool = False
    most_snapshots: int = 2
    latent_alignment_tokens: int = 128
    logs: Literal["requests", "groups"] = "requests"


@dataclass(frozen=True)
class Settings:
    """What the plan depends on beside the layers.

    Attributes:
        available_bytes: memory for KV caches, of one GPU.
        max_model_len: L, most tokens of a request.
        max_num_batched_tokens: T, most tokens of a batch.
        batches_in_flight: f, 2 with asynchronous scheduling.
        block_size_tokens: B, as asked for.
        kernel_block_tokens: smallest block of the attention kernels.
        prefix_caching: whether prefixes are cached.
        num_blocks: as asked for, whatever the memory; None: as many as fit.
        rules: of the release.
    """

    available_bytes: int
    max_model_len: int
    max_num_batched_tokens: int
    batches_in_flight: int = 2
    block_size_tokens: int = 16
    kernel_block_tokens: int = 16
    prefix_caching: bool = True
    num_blocks: int | None = None
    rules: Rules = Rules()


@dataclass(frozen=True)
class KvGroup:
    """Layers that share their blocks.

    Attributes:
        cache: of its layers; of the first one, where they differ.
        num_layers: how many.
        block_size_tokens: tokens of a block; of a state, tokens between two that are kept.
        block_bytes: what a block holds for all its layers.
        blocks_per_request: most blocks of one request.
    """

    cache: LayerCache
    num_layers: int
    block_size_tokens: int
    block_bytes: int
    blocks_per_request: int


@dataclass(frozen=True)
class KvPlan:
    """The pool.

    Attributes:
        groups: in the order in which their kinds appear in the model.
        block_size_tokens: B, after state layers have raised it.
        block_bytes: memory per block: of the largest group.
        num_blocks: in the pool, with block 0, which holds nothing.
        max_model_len: L, most tokens of a request.
        state_page_bytes: what one state takes where attention shares the pool; None: its own size.
        needed_bytes: that a request of L tokens can be served.
        fits: whether there is so much.
        longest_request_tokens: largest L for which there is.
        rules: of the release.
    """

    groups: tuple[KvGroup, ...]
    block_size_tokens: int
    block_bytes: int
    num_blocks: int
    max_model_len: int
    state_page_bytes: int | None
    needed_bytes: int
    fits: bool
    longest_request_tokens: int
    rules: Rules

    @property
    def blocks_per_request(self) -> int:
        """Most blocks of one request, in all groups."""
        return sum(group.blocks_per_request for group in self.groups)

    @property
    def max_concurrency(self) -> float:
        """How many requests of full length have room."""
        return self.num_blocks / self.blocks_per_request

    @property
    def cache_tokens(self) -> int:
        """What vLLM logs as the size of the cache; no capacity of the pool where there are several groups."""
        if self.rules.logs == "groups":
            return self.num_blocks // len(self.groups) * min(group.block_size_tokens for group in self.groups)
        return int(self.max_concurrency * self.max_model_len)

    @property
    def usable_tokens(self) -> int:
        """Tokens for which there is room whether requests are short, and fill all groups alike, or of full length."""
        per_token = sum(Fraction(1, group.block_size_tokens) for group in self.groups)
        short = int(self.num_blocks / per_token)
        return short if len(self.groups) == 1 else min(short, int(self.max_concurrency * self.max_model_len))

    @property
    def scheduler_block_tokens(self) -> int:
        """Tokens after which a block begins in all groups."""
        return math.lcm(*(group.block_size_tokens for group in self.groups))

    @property
    def log_line(self) -> str:
        """What vLLM logs; releases that log blocks shared out among groups do so in two lines."""
        size = f"GPU KV cache size: {self.cache_tokens:,} tokens"
        requests = f"Maximum concurrency for {self.max_model_len:,} tokens per request: {self.max_concurrency:.2f}x"
        return f"{size}{', ' if self.rules.logs == 'requests' else chr(10)}{requests}"


def plan_kv_cache(layers: Sequence[LayerCache], settings: Settings) -> KvPlan:
    """Divide the memory for KV caches as vLLM does.

    Args:
        layers: caches in the order of the model; layers without one left out.
        settings: what else it depends on.
    """
    block_size, page = _aligned_with_states(layers, settings)
    groups = _groups(layers, block_size, page, settings)
    block_bytes = max(group.block_bytes for group in groups)
    room = settings.available_bytes - (block_bytes if settings.rules.reserves_null_block else 0)

    def needed(tokens: int) -> int:
        asked = replace(settings, max_model_len=tokens)
        return block_bytes * sum(_blocks_per_request(g.cache, g.block_size_tokens, asked) for g in groups)

    longest = _largest(settings.max_model_len, lambda tokens: needed(tokens) <= room)
    fitting = max(0, settings.available_bytes // block_bytes)
    return KvPlan(
        groups=groups,
        block_size_tokens=block_size,
        block_bytes=block_bytes,
        num_blocks=fitting if settings.num_blocks is None else settings.num_blocks,
        max_model_len=settings.max_model_len,
        state_page_bytes=page,
        needed_bytes=needed(settings.max_model_len),
        fits=longest == settings.max_model_len and fitting > 0,
        longest_request_tokens=longest,
        rules=settings.rules,
    )


def _aligned_with_states(layers: Sequence[LayerCache], settings: Settings) -> tuple[int, int | None]:
    """B, and the page of a state: attention needs blocks as large as a state is, and a state is padded to one."""
    states = [layer.state_bytes for layer in layers if isinstance(layer, StateCache)]
    attention = [layer for layer in layers if isinstance(layer, TokenCache)]
    block_size = settings.block_size_tokens
    if not states or not attention:
        return block_size, None
    kernel = settings.kernel_block_tokens
    unit = max(kernel, block_size)
    if any(layer.is_latent for layer in attention):
        unit = max(unit, settings.rules.latent_alignment_tokens)
    if any(_keeps_all(layer, settings) for layer in layers):
        unit = math.lcm(unit, _SCAN_CHUNK_TOKENS)
    token_bytes = max(layer.token_bytes for layer in attention if not layer.is_latent or layer.reach == "full")
    least = unit * -(-max(states) // (unit * token_bytes))
    block_size = max(block_size, -(-least // kernel) * kernel)
    return block_size, block_size * token_bytes


def _groups(
    layers: Sequence[LayerCache], block_size: int, state_page: int | None, settings: Settings
) -> tuple[KvGroup, ...]:
    rules = settings.rules
    layers = [
        layer if rules.has_groups and (rules.groups_chunks or not _has_chunks(layer)) else _looking_at_everything(layer)
        for layer in layers
    ]
    if not rules.mixes_pages and len({_page(layer, block_size, state_page) for layer in layers}) > 1:
        raise CapacityError("vllm_version: this release has no place for layers that cache unequally")
    if len({_kind(layer) for layer in layers}) == 1:
        return (_group(layers, block_size, state_page, settings),)
    page = max(_page(layer, block_size, state_page) for layer in layers)
    sizes = [_block_size(layer, block_size, page, settings) for layer in layers]
    buckets: dict[tuple[object, ...], list[tuple[LayerCache, int]]] = {}
    for layer, size in zip(layers, sizes, strict=True):
        if size is None:
            everything = [_looking_at_everything(layer) for layer in layers]
            return (_group(everything, block_size, state_page, settings),)
        buckets.setdefault((*_kind(layer), size), []).append((layer, size))
    numbers = [len(bucket) for bucket in buckets.values()]
    evens_out = settings.rules.evens_out and max(numbers) < _MOST_UNEQUAL * min(numbers)
    group_size = max(numbers) if evens_out else min(numbers)
    return tuple(
        KvGroup(layer, count, size, count * page, _blocks_per_request(layer, size, settings))
        for (layer, size), *others in buckets.values()
        for count in _shared_out(1 + len(others), group_size)
    )


def _block_size(layer: LayerCache, block_size: int, page: int, settings: Settings) -> int | None:
    """Tokens of a block of so many bytes for one layer; what is left over is padding. None: it can't be padded.

    Raises:
        CapacityError: the release has no way to do it.
    """
    if isinstance(layer, StateCache):
        return _state_block(block_size, settings)
    own = layer.token_bytes * block_size
    if page % own == 0:
        return block_size * (page // own)
    if layer.is_latent:
        return None
    if not settings.rules.pads_pages:
        raise CapacityError(f"vllm_version: this release has no place for layers of {own} and {page} bytes a block")
    return block_size


def _kind(layer: LayerCache) -> tuple[object, ...]:
    """What layers must have in common to be one group whatever their pages are."""
    if isinstance(layer, StateCache):
        return ("state", layer)
    return (layer.reach, layer.reach_tokens)


def _has_chunks(layer: LayerCache) -> bool:
    return isinstance(layer, TokenCache) and layer.reach == "chunk"


def _keeps_all(layer: LayerCache, settings: Settings) -> bool:
    """Whether a state is kept for each block of a request."""
    is_able = isinstance(layer, StateCache) and layer.can_keep_all
    return is_able and settings.rules.keeps_all_states and settings.prefix_caching


@functools.cache
def _looking_at_everything(layer: LayerCache) -> LayerCache:
    return replace(layer, reach="full", reach_tokens=0) if isinstance(layer, TokenCache) else layer


def _group(layers: Sequence[LayerCache], block_size: int, state_page: int | None, settings: Settings) -> KvGroup:
    """All layers in one group, whose block is the sum of its pages."""
    first = layers[0]
    size = _state_block(block_size, settings) if isinstance(first, StateCache) else block_size
    block_bytes = sum(_page(layer, block_size, state_page) for layer in layers)
    return KvGroup(first, len(layers), size, block_bytes, _blocks_per_request(first, size, settings))


def _state_block(block_size: int, settings: Settings) -> int:
    """Tokens between two states that are kept; without prefix caching only the last one is."""
    return block_size if settings.prefix_caching else settings.max_model_len


def _page(layer: LayerCache, block_size: int, state_page: int | None) -> int:
    """What one layer takes of a block, in bytes."""
    if isinstance(layer, StateCache):
        return layer.state_bytes if state_page is None else state_page
    return layer.token_bytes * block_size


def _shared_out(number: int, group_size: int) -> list[int]:
    """How many layers each group of a bucket gets."""
    groups = -(-number // group_size)
    return [number // groups + (i < number % groups) for i in range(groups)]


def _blocks_per_request(layer: LayerCache, block_size: int, settings: Settings) -> int:
    """Most blocks that a request of full length holds in a group of such layers."""
    tokens = settings.max_model_len
    if isinstance(layer, StateCache):
        if _keeps_all(layer, settings):
            return -(-tokens // block_size)
        return 1 + (min(layer.num_snapshots, settings.rules.most_snapshots) if settings.prefix_caching else 0)
    in_flight = settings.max_num_batched_tokens * (settings.batches_in_flight if settings.rules.counts_in_flight else 1)
    if layer.reach == "full":
        return -(-tokens // block_size)
    if layer.reach == "chunk":
        return -(-min(layer.reach_tokens + in_flight, tokens) // block_size)
    return -(-min(layer.reach_tokens - 1 + in_flight, tokens) // block_size) + 1


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 0 to ``most`` that fits, where all below a fitting one fit; 0 always does."""
    return most if fits(most) else bisect.bisect_left(range(1, most + 1), True, key=lambda tokens: not fits(tokens))
