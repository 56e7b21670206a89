"""Gemma 1 to 4: windows in most layers, tied embeddings, and from 3n on layers that share caches."""

from __future__ import annotations

from dataclasses import replace

from blis.config.model.families.experts import has_experts, routed
from blis.config.model.families.family import TIED, Family
from blis.config.model.families.parts import (
    all_but_every,
    attentions,
    count_layers,
    dense_layers,
    full_attention,
    hidden_size,
    reaches,
    with_reach,
)
from blis.config.model.layers import Attention, Experts, Layer, Mlp
from blis.config.model.strict import ModelConfig


def _check_direction(config: ModelConfig) -> None:
    """Refuse what makes embedding models of them; images, and PaliGemma's prompts, may be looked at both ways."""
    config.ignore("use_bidirectional_attention")
    direction = config.plain().get("use_bidirectional_attention")
    if direction in (None, False) or (direction is True and config.is_nested):
        return
    if direction is True:
        config.fail("use_bidirectional_attention", "models that look both ways, for embeddings, are not modelled")
    config.text("use_bidirectional_attention", valid=("vision",))


def _alternating(config: ModelConfig, count: int) -> list[bool]:
    return [i % 2 == 0 for i in range(count)]


def _gemma(config: ModelConfig) -> tuple[Layer, ...]:
    _check_direction(config)
    return dense_layers(config)


def _gemma2(config: ModelConfig) -> tuple[Layer, ...]:
    _check_direction(config)
    return dense_layers(config, _alternating)


def _gemma3(config: ModelConfig) -> tuple[Layer, ...]:
    _check_direction(config)
    return dense_layers(config, all_but_every(6))


def _gemma3n(config: ModelConfig) -> tuple[Layer, ...]:
    """Gemma 3n: low-rank paths beside each layer, and several streams of them (arXiv:2301.13310 calls it AltUp)."""
    count, d = count_layers(config), hidden_size(config)
    mixers = _sharing(config, attentions(config, all_but_every(5)))
    widths = config.per_layer("intermediate_size", count=count)
    streams = config.size("altup_num_inputs")
    altup = streams * (d + streams + streams**2) + 2 * (streams - 1) * d * d // count
    other = altup + 2 * d * config.size("laurel_rank") + _per_layer_paths(config)
    return tuple(Layer((mixer,), Mlp(width), other) for mixer, width in zip(mixers, widths, strict=True))


def _sharing(config: ModelConfig, mixers: list[Attention]) -> list[Attention]:
    """The last layers have neither cache nor keys and values of their own."""
    first_shared = len(mixers) - config.integer("num_kv_shared_layers", 0)
    if first_shared <= 0 < len(mixers) - first_shared:
        config.fail("num_kv_shared_layers", f"must be < num_hidden_layers ({len(mixers)})")
    return [replace(mixer, keeps_cache=i < first_shared) for i, mixer in enumerate(mixers)]


def _per_layer_paths(config: ModelConfig) -> int:
    """Weights that lead a layer's own embedding into it: its projection from the stream, its gate, its way back."""
    return 3 * hidden_size(config) * config.integer("hidden_size_per_layer_input", 0)


def _embeddings_per_layer(config: ModelConfig) -> int:
    width = config.integer("hidden_size_per_layer_input", 0)
    return width * count_layers(config) * config.integer("vocab_size_per_layer_input", 0)


def _gemma4(config: ModelConfig) -> tuple[Layer, ...]:
    """Gemma 4: full layers have fewer and larger KV heads; a mixture's layers keep their dense MLP beside experts."""
    _check_direction(config)
    count = count_layers(config)
    mixers = _sharing(config, _attentions_of_gemma4(config, count))
    other = _per_layer_paths(config)
    width = config.size("intermediate_size")
    twice = config.flag("use_double_wide_mlp", False)
    return tuple(
        Layer((mixer,), _mlp_of_gemma4(config, width if mixer.keeps_cache or not twice else 2 * width), other)
        for mixer in mixers
    )


def _attentions_of_gemma4(config: ModelConfig, count: int) -> list[Attention]:
    local = full_attention(config)
    all_reach = reaches(config, count, all_but_every(6))
    if all_reach[-1][0] != "full":  # the class makes it so
        all_reach[-1] = ("full", 0)
    are_equal = config.flag("attention_k_eq_v", False)
    kv_heads = (
        config.size("num_global_key_value_heads", default=local.num_kv_heads) if are_equal else local.num_kv_heads
    )
    config.ignore("num_global_key_value_heads")
    head_dim = local.head_dim if config.has("per_layer_config") else config.size("global_head_dim")
    wide = Attention(local.num_heads, kv_heads, head_dim, head_dim, values_are_keys=are_equal)
    return [wide if reach[0] == "full" else with_reach(local, reach) for reach in all_reach]


def _mlp_of_gemma4(config: ModelConfig, width: int) -> Mlp | Experts:
    if not config.flag("enable_moe_block", False):
        config.ignore("num_experts", "top_k_experts", "moe_intermediate_size", "expert_intermediate_size")
        return Mlp(width)
    if not has_experts(config):
        config.fail("num_experts", "missing, though enable_moe_block says that there are experts")
    return routed(config, shared_width=width)


_GEMMA2 = {**TIED, "head_dim": 256, "num_key_value_heads": 4, "sliding_window": 4096}
_GEMMA3 = {
    **TIED,
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
}
_GEMMA3N = {
    **TIED,
    "vocab_size": 262400,
    "hidden_size": 2048,
    "intermediate_size": 16384,
    "num_hidden_layers": 35,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "max_position_embeddings": 32768,
    "sliding_window": 512,
    "vocab_size_per_layer_input": 262144,
    "hidden_size_per_layer_input": 256,
    "altup_num_inputs": 4,
    "laurel_rank": 64,
    "num_kv_shared_layers": 15,
}
_GEMMA4 = {
    **TIED,
    "vocab_size": 262144,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 30,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "global_head_dim": 512,
    "max_position_embeddings": 131072,
    "sliding_window": 512,
    "vocab_size_per_layer_input": 262144,
    "hidden_size_per_layer_input": 256,
}
_GEMMA4_UNIFIED = {
    **_GEMMA4,
    "sliding_window": 1024,
    "max_position_embeddings": 262144,
    "vocab_size_per_layer_input": 0,
    "hidden_size_per_layer_input": 0,
}

GEMMA: dict[str, Family] = {
    "gemma": Family(_gemma, {**TIED, "head_dim": 256}),
    **dict.fromkeys(("gemma2", "vaultgemma"), Family(_gemma2, _GEMMA2)),
    "gemma3": Family(_gemma3, _GEMMA3),
    "gemma3_text": Family(_gemma3, _GEMMA3),
    "gemma3n": Family(_gemma3n, _GEMMA3N, _embeddings_per_layer),
    "gemma3n_text": Family(_gemma3n, _GEMMA3N, _embeddings_per_layer),
    "gemma4": Family(_gemma4, _GEMMA4, _embeddings_per_layer),
    "gemma4_text": Family(_gemma4, _GEMMA4, _embeddings_per_layer),
    "gemma4_unified_text": Family(_gemma4, _GEMMA4_UNIFIED),
}
