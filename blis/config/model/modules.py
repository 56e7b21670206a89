"""The matrices of a layer under the names that checkpoints give them, which lists of exemptions use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from blis.config.model.layers import Attention, Experts, LatentAttention, Layer, Mixer, Mlp

Part = Literal["attention", "mlp", "expert"]

_MIXER_NAMES = ("self_attn", "attention", "attn", "mixer", "linear_attn", "mamba", "conv", "self_attention")
_MLP_NAMES = ("mlp", "feed_forward", "block_sparse_moe", "mixer", "moe")
_SHARED_NAMES = ("shared_expert", "shared_experts", "shared_mlp", "shared_expert_mlp", "")
_OTHER_WORDS = {
    **{"gate_proj": ("w1", "gate_up_proj"), "up_proj": ("w3", "gate_up_proj"), "down_proj": ("w2",)},
    **{"q_proj": ("qkv_proj",), "k_proj": ("qkv_proj",), "v_proj": ("qkv_proj",)},
    **{"q_a_proj": ("fused_qkv_a_proj",), "kv_a_proj_with_mqa": ("fused_qkv_a_proj",)},
    "in_proj": ("in_proj_qkvz", "in_proj_qkv", "qkv_proj", "q_proj", "query_key_value"),
    "out_proj": ("o_proj", "dense"),
}


@dataclass(frozen=True)
class Module:
    """Matrices that are quantised together.

    Attributes:
        part: what of the model they belong to.
        names: all names that they may have, from the layer on.
        weights: how many they have.
    """

    part: Part
    names: tuple[str, ...]
    weights: int


def modules_of(layer: Layer, hidden_size: int) -> Iterator[Module]:
    """All matrices of a layer that a method may quantise: not its router, nor its norms."""
    for mixer in layer.mixers:
        for name, weights in _of_mixer(mixer, hidden_size).items():
            yield Module("attention", _paths(_MIXER_NAMES, name), weights)
    if isinstance(layer.mlp, Mlp):
        yield from _of_mlp("mlp", _MLP_NAMES, layer.mlp.parameters(hidden_size), layer.mlp.num_matrices)
    elif layer.mlp is not None:
        yield from _of_experts(layer.mlp, hidden_size)


def _of_mixer(mixer: Mixer, d: int) -> dict[str, int]:
    if isinstance(mixer, Attention):
        values = mixer.num_kv_heads * mixer.value_head_dim * mixer.keeps_cache
        keys = d * mixer.num_kv_heads * mixer.head_dim * mixer.keeps_cache
        output = d * mixer.num_heads * mixer.value_head_dim
        rest = {"k_proj": keys, "v_proj": 0 if mixer.values_are_keys else d * values, "o_proj": output}
        return {"q_proj": mixer.parameters(d) - sum(rest.values()), **rest}
    if isinstance(mixer, LatentAttention):
        return _of_latent(mixer, d)
    return {"in_proj": mixer.weights * 2 // 3, "out_proj": mixer.weights - mixer.weights * 2 // 3}


def _of_latent(mixer: LatentAttention, d: int) -> dict[str, int]:
    queries, rank = mixer.num_heads * mixer.query_head_dim, mixer.q_lora_rank
    query = {"q_proj": d * queries} if rank is None else {"q_a_proj": d * rank, "q_b_proj": rank * queries}
    rest = {
        "kv_a_proj_with_mqa": d * mixer.kv_width,
        "kv_b_proj": mixer.kv_lora_rank * mixer.num_heads * (mixer.qk_nope_head_dim + mixer.v_head_dim),
        "o_proj": mixer.num_heads * mixer.v_head_dim * d,
    }
    indexer = mixer.parameters(d) - sum(query.values()) - sum(rest.values())
    return {**query, **rest, "indexer.wq_b": indexer}


def _of_experts(experts: Experts, d: int) -> Iterator[Module]:
    paths = tuple(f"{name}.experts.0" for name in _MLP_NAMES) + tuple(f"{name}.experts" for name in _MLP_NAMES)
    routed = experts.num_experts * experts.one_expert_parameters(d)
    yield from _of_mlp("expert", paths, routed, experts.num_matrices)
    shared = tuple(f"{name}.{inner}" if inner else name for name in _MLP_NAMES for inner in _SHARED_NAMES)
    if experts.shared_parameters(d):
        yield from _of_mlp("mlp", shared[:-1], experts.shared_parameters(d), experts.num_matrices)


def _of_mlp(part: Part, paths: tuple[str, ...], weights: int, num_matrices: int) -> Iterator[Module]:
    names = ("gate_proj", "up_proj", "down_proj")[3 - num_matrices :]
    for name in names:
        yield Module(part, _paths(paths, name), weights // len(names))


def _paths(parents: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(f"{parent}.{word}" for parent in parents for word in (name, *_OTHER_WORDS.get(name, ())))
