"""A `Model` from the figures of a homogeneous architecture."""

from __future__ import annotations

from blis.config.huggingface import ModelArchitecture
from blis.config.model.layers import Attention, Experts, LatentAttention, Layer, Mlp
from blis.config.model.model import Model


def model_of(arch: ModelArchitecture) -> Model:
    """The same model as a list of layers; windows and dense MLPs come first."""
    windows = arch.num_sliding_window_layers
    layers = (Layer((_mixer(arch, i < windows),), _mlp(arch, i)) for i in range(arch.num_layers))
    return Model(
        family="",
        hidden_size=arch.hidden_size,
        vocab_size=arch.vocab_size,
        layers=tuple(layers),
        tie_word_embeddings=arch.tie_word_embeddings,
        encoder_parameters=int(arch.has_vision_encoder),  # only whether there is one is known
        context_length=arch.context_length,
        quantization=arch.quantization,
    )


def _mixer(arch: ModelArchitecture, has_window: bool) -> Attention | LatentAttention:
    if latent := arch.latent_attention:
        return LatentAttention(num_heads=arch.num_attention_heads, **vars(latent))
    heads = (arch.num_attention_heads, arch.num_kv_heads, arch.head_dim, arch.head_dim)
    return Attention(*heads, "window", arch.sliding_window_tokens) if has_window else Attention(*heads)


def _mlp(arch: ModelArchitecture, layer: int) -> Mlp | Experts:
    if layer < arch.num_dense_layers:
        return Mlp(arch.intermediate_size)
    return Experts(
        arch.num_experts, arch.experts_per_token, arch.expert_intermediate_size, arch.shared_intermediate_size
    )
