"""What one of several GPUs holds of a model's weights: vLLM splits most of them and keeps others whole on each.

Split are embeddings and LM head (rows of the vocabulary, filled up), heads, MLPs, experts by their width, and
encoders. Whole are norms, routers, the projections of latent attention down to its vectors, its indexer, and one KV
head at least. Beside the weights of the checkpoint lie tables of rotary positions, and copies that kernels want.
"""

from __future__ import annotations

import math
from dataclasses import replace

from blis.config.model.layers import Attention, Experts, LatentAttention, Mixer, Mlp, StateMixer
from blis.config.model.model import Model
from blis.config.quantization import BYTES_8BIT, BYTES_16BIT, BYTES_MXFP4

#: vLLM fills up the vocabulary to a multiple of this.
_VOCABULARY_ROWS = 64
#: Kernels for MXFP4 work on widths that are multiples of these: of one expert on a GPU, and of what experts read.
_MXFP4_WIDTH, _MXFP4_HIDDEN = 128, 256
#: The same of 8-bit experts without a gate, which have two matrices (FlashInfer).
_UNGATED_8BIT_WIDTH, _UNGATED = 128, 2
#: Families with positions in three directions, for which the table of rotary positions is four times as long.
_MULTIMODAL_ROTARY = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "qwen2_5_omni", "qwen3_omni", "glm4v")
#: Families whose encoders hand features to several layers, kept in buffers for a batch of tokens; how many layers.
_DEEP_FEATURES = {"qwen3_vl": 3}

#: Averages over layers below this count as 8 bit.
_LEAST_16BIT = 1.5

#: On ROCm rows of unquantised experts whose size is a multiple of 512 bytes are lengthened by 256 (vLLM's default).
_ROCM_ROW_BYTES, _ROCM_PADDING_BYTES = 512, 256
#: On ROCm FP8 weights of linear layers take this much more: fitted to one model (docs/memory.md).
_ROCM_FP8_LINEAR = 1.24
#: On ROCm vLLM logs what the device has in use, the context of the process included.
_ROCM_CONTEXT_BYTES = 0.4 * 2**30


def weight_bytes_by_part(
    model: Model, tp: int, max_num_batched_tokens: int, *, is_rocm: bool = False
) -> dict[str, float]:
    """Memory of the weights on each of ``tp`` GPUs, in bytes, by part; parts that a model lacks are left out.

    Args:
        model: the model.
        tp: tensor parallelism degree.
        max_num_batched_tokens: of a batch, for which buffers of features are held.
        is_rocm: whether the GPU is one of AMD's.
    """
    precision = model.quantization
    mixers = sum(count * _mixer_bytes(mixer, model, tp) for mixer, count in model.mixer_counts.items())
    mlps = sum(count * _mlp_bytes(mlp, model, tp) for mlp, count in model.mlp_counts.items())
    parts = {
        "embeddings": _vocabulary_bytes(model, tp) * model.num_vocabulary_matrices
        + model.lookup_parameters / tp * BYTES_16BIT,
        "mixers": mixers * _rocm_linear(precision.attention_bytes, is_rocm=is_rocm),
        "mlps": mlps * _rocm_linear(precision.mlp_bytes, is_rocm=is_rocm),
        "experts": sum(
            count * _expert_bytes(mlp, model, tp, is_rocm=is_rocm)
            for mlp, count in model.mlp_counts.items()
            if isinstance(mlp, Experts)
        ),
        "routers": model.router_parameters * BYTES_16BIT,
        "others": (model.norm_parameters + model.other_parameters) * BYTES_16BIT,
        "encoders": model.encoder_parameters * BYTES_16BIT / tp,
        "tables": _table_bytes(model, max_num_batched_tokens),
        "context": _ROCM_CONTEXT_BYTES * is_rocm,
    }
    return {name: size for name, size in parts.items() if size}


def _vocabulary_bytes(model: Model, tp: int) -> float:
    rows = -(-model.vocab_size // _VOCABULARY_ROWS) * _VOCABULARY_ROWS
    return -(-rows // tp) * model.hidden_size * BYTES_16BIT


def _mixer_bytes(mixer: Mixer, model: Model, tp: int) -> float:
    width, per_weight = model.hidden_size, model.quantization.attention_bytes
    if isinstance(mixer, StateMixer):
        return mixer.weights / tp * per_weight
    if isinstance(mixer, Attention):
        kept = replace(mixer, num_kv_heads=tp * max(1, mixer.num_kv_heads // tp))
        return kept.parameters(width) / tp * per_weight
    whole = width * (mixer.kv_width + (mixer.q_lora_rank or 0))
    if mixer.indexer is not None:
        whole += mixer.parameters(width) - replace(mixer, indexer=None).parameters(width)
    up = mixer.kv_lora_rank * mixer.num_heads * (mixer.qk_nope_head_dim + mixer.v_head_dim)
    copy = up / tp * BYTES_16BIT  # of what leads from the cached vector to heads, for decoding
    return ((mixer.parameters(width) - whole) / tp + whole) * per_weight + copy


def _mlp_bytes(mlp: Mlp | Experts, model: Model, tp: int) -> float:
    """Of dense MLPs and shared experts; projections around a latent are whole."""
    width, per_weight = model.hidden_size, model.quantization.mlp_bytes
    if not isinstance(mlp, Experts):
        return mlp.parameters(width) / tp * per_weight
    latent = 0 if mlp.latent_size is None else 2 * width * mlp.latent_size
    return ((mlp.shared_parameters(width) - latent) / tp + latent) * per_weight


def _expert_bytes(experts: Experts, model: Model, tp: int, *, is_rocm: bool) -> float:
    """Of the routed experts of one layer."""
    per_weight, hidden = model.quantization.expert_bytes, experts.latent_size or model.hidden_size
    width = experts.expert_width / tp
    if per_weight == BYTES_MXFP4:
        width = -(-math.ceil(width) // _MXFP4_WIDTH) * _MXFP4_WIDTH
        hidden = -(-hidden // _MXFP4_HIDDEN) * _MXFP4_HIDDEN
    elif is_8bit(per_weight) and experts.num_matrices == _UNGATED:
        width = -(-math.ceil(width) // _UNGATED_8BIT_WIDTH) * _UNGATED_8BIT_WIDTH
    one = experts.num_matrices * hidden * width * per_weight
    if is_rocm and per_weight == BYTES_16BIT:
        one += _rocm_padding(experts, hidden, width)
    return experts.num_experts * one


def _rocm_padding(experts: Experts, hidden: int, width: float) -> float:
    """What longer rows of one expert take, and what is lost where the longer second matrix comes to lie in the memory
    that the first one has left.
    """
    up_rows = (experts.num_matrices - 1) * width
    up, down = hidden * BYTES_16BIT, width * BYTES_16BIT
    padding = up_rows * _ROCM_PADDING_BYTES if up % _ROCM_ROW_BYTES == 0 else 0.0
    if down % _ROCM_ROW_BYTES:
        return padding
    longer = hidden * (down + _ROCM_PADDING_BYTES)
    return padding + hidden * _ROCM_PADDING_BYTES + max(0.0, up_rows * up - longer)


def _rocm_linear(bytes_per_weight: float, *, is_rocm: bool) -> float:
    return _ROCM_FP8_LINEAR if is_rocm and is_8bit(bytes_per_weight) else 1.0


def is_8bit(bytes_per_weight: float) -> bool:
    """Whether weights are of 8 bits, with scales, on average."""
    return BYTES_8BIT <= bytes_per_weight < _LEAST_16BIT


def _table_bytes(model: Model, tokens: int) -> float:
    """Tables of rotary positions, one for each size of heads, and buffers for features of encoders."""
    lengthened = 4 if model.family.startswith(_MULTIMODAL_ROTARY) else 1
    sizes = {m.qk_rope_head_dim if isinstance(m, LatentAttention) else m.head_dim for m in model.attention}
    rotary = lengthened * (model.context_length or 0) * sum(sizes)
    return (rotary + deep_features(model) * model.hidden_size * tokens) * BYTES_16BIT


def deep_features(model: Model) -> int:
    """To how many layers beside the first one an encoder hands features."""
    return sum(count for family, count in _DEEP_FEATURES.items() if model.family.startswith(family))
