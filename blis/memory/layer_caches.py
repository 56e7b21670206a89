"""What each layer of a model keeps of a request on one GPU."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from blis.config.model.layers import LatentAttention, Mixer, StateMixer
from blis.config.model.model import Model
from blis.memory.caches import LayerCache, StateCache, TokenCache

#: Least block sizes of attention kernels: of all but latent attention that chooses its tokens, and of that.
KERNEL_BLOCK_TOKENS, SPARSE_KERNEL_BLOCK_TOKENS = 16, 64
#: State layers of which vLLM 0.19 can keep one state per block.
_KEPT_PER_BLOCK = ("mamba1", "mamba2")
#: The only ones of which a second state is kept while a prompt is taken in.
_KEPT_TWICE = ("mamba2",)


@functools.lru_cache(maxsize=64)
def layer_caches(model: Model, tp: int, element_bytes: int) -> tuple[LayerCache, ...]:
    """The caches of a model, in the order of its layers; layers that look at another's cache have none.

    Args:
        model: the model.
        tp: tensor parallelism degree.
        element_bytes: of cached keys and values, 2 or 1; states keep their own types.
    """
    return tuple(cache for mixer in model.mixers for cache in _caches(mixer, tp, element_bytes))


def kernel_block_tokens(model: Model) -> int:
    """Smallest block that the attention kernels of the model take."""
    is_sparse = any(isinstance(mixer, LatentAttention) and mixer.indexer is not None for mixer in model.attention)
    return SPARSE_KERNEL_BLOCK_TOKENS if is_sparse else KERNEL_BLOCK_TOKENS


def _caches(mixer: Mixer, tp: int, element_bytes: int) -> Iterator[LayerCache]:
    if isinstance(mixer, StateMixer):
        yield StateCache(mixer.state_bytes(tp), 1 + (mixer.kind in _KEPT_TWICE), mixer.kind in _KEPT_PER_BLOCK)
    elif isinstance(mixer, LatentAttention):
        yield TokenCache(mixer.bytes_read(tp, element_bytes), is_latent=True)
        if mixer.indexer is not None and not mixer.indexer.is_shared:
            yield TokenCache(mixer.indexer.token_bytes, is_latent=True)
    elif mixer.keeps_cache:
        yield TokenCache(mixer.kv_elements(tp) * element_bytes, mixer.reach, mixer.reach_tokens)
