"""Models whose layers have linear attention, but for some: MiniMax, Ring, Ling, Kimi Linear."""

from __future__ import annotations

from functools import partial

from blis.config.model.families.experts import mlps
from blis.config.model.families.family import Family
from blis.config.model.families.hybrid import by_type
from blis.config.model.families.latent import latent_attention
from blis.config.model.families.parts import count_layers, full_attention, hidden_size, stack, without_windows
from blis.config.model.families.states import kimi_delta_attention, lightning_attention
from blis.config.model.layers import Layer, StateMixer
from blis.config.model.strict import ModelConfig


def _minimax(config: ModelConfig) -> tuple[Layer, ...]:
    """MiniMax-Text-01 and M1: lightning attention but for some layers; experts in all."""
    count = count_layers(config)
    attention = full_attention(config)
    flags = config.per_layer("attn_type_list", count=count, least=0) if config.has("attn_type_list") else None
    default = [flag == 1 for flag in flags] if flags else [i % 2 == 0 for i in range(count)]
    config.ignore("block_size")
    state = partial(lightning_attention, hidden_size(config), attention.num_heads, attention.head_dim)
    return stack(by_type(config, attention, state, default), mlps(config, count, is_as_wide=True))


def _ring_linear(config: ModelConfig) -> tuple[Layer, ...]:
    """Ring-Linear: lightning attention but for the last layer of each group."""
    attention = full_attention(config)
    state = lightning_attention(hidden_size(config), attention.num_heads, attention.head_dim)
    attends = _last_of_groups(config)
    without_windows(config, len(attends))
    return stack([attention if flag else state for flag in attends], mlps(config, len(attends)))


def _last_of_groups(config: ModelConfig) -> list[bool]:
    """The last layer of each group attends, and all that are left over."""
    count, group = count_layers(config), config.size("layer_group_size")
    return [(i + 1) % group == 0 or i >= count // group * group for i in range(count)]


def _ling_hybrid(config: ModelConfig) -> tuple[Layer, ...]:
    """Ling 3: latent attention in the last layer of each group, Kimi Delta Attention in others.

    Ling 2.5 has lightning attention in them, and no convolution.
    """
    d, heads = hidden_size(config), config.size("num_attention_heads")
    head_dim = config.size("linear_head_dim" if config.has("linear_head_dim") else "head_dim")
    has_convolution = config.has("short_conv_kernel_size") or not config.has("group_norm_size")
    config.ignore("linear_num_heads", "linear_conv_kernel_dim", "group_norm_size", "rotary_dim", "num_key_value_heads")
    config.ignore("gated_attention_proj_granularity_type", "head_dim")
    if has_convolution:
        kernel, is_full_rank = config.size("short_conv_kernel_size", default=4), config.flag("no_kda_lora", True)
        state = kimi_delta_attention(d, heads, head_dim, kernel, is_full_rank=is_full_rank)
    else:
        state = lightning_attention(d, heads, head_dim)
    attends = _last_of_groups(config)
    mixers = by_type(config, latent_attention(config), lambda: state, attends)
    return stack(mixers, mlps(config, len(mixers)))


def _kimi_linear(config: ModelConfig) -> tuple[Layer, ...]:
    """Kimi Linear: Kimi Delta Attention but for some layers of latent attention."""
    count = count_layers(config)
    in_own_words = config.has("linear_attn_config")
    state, attends = (
        _delta_attention(config, count) if in_own_words else _delta_attention_of_transformers(config, count)
    )
    mixers = by_type(config, latent_attention(config), lambda: state, attends)
    return stack(mixers, mlps(config, count))


def _delta_attention_of_transformers(config: ModelConfig, count: int) -> tuple[StateMixer, list[bool]]:
    sizes = (config.size(f"linear_{key}") for key in ("num_heads", "head_dim", "conv_kernel_dim"))
    return kimi_delta_attention(hidden_size(config), *sizes), [i > 0 and i % 4 == 0 for i in range(count)]


def _delta_attention(config: ModelConfig, count: int) -> tuple[StateMixer, list[bool]]:
    """In the words of the model's own code, which counts layers from 1."""
    linear = config.part("linear_attn_config")
    state = kimi_delta_attention(
        hidden_size(config),
        linear.integer("num_heads", least=1),
        linear.integer("head_dim", least=1),
        linear.integer("short_conv_kernel_size", 4, least=1),
    )
    full = [section.integer(name, least=1) for section, name in linear.entries("full_attn_layers")]
    if len(full) + len(linear.entries("kda_layers")) != count:
        linear.fail("kda_layers", f"must name all of {count} layers that full_attn_layers doesn't")
    return state, [i + 1 in full for i in range(count)]


_LING = {
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "head_dim": 128,
    "layer_group_size": 6,
    "num_experts": 512,
    "num_experts_per_tok": 8,
    "num_shared_experts": 1,
    "moe_intermediate_size": 768,
    "first_k_dense_replace": 2,
}

LINEAR: dict[str, Family] = {
    "minimax": Family(_minimax, {"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2}),
    "minimax_text_01": Family(_minimax),
    "minimax_m1": Family(_minimax),
    "bailing_moe_linear": Family(_ring_linear),
    "bailing_moe_linear_v2": Family(_ring_linear),
    "bailing_hybrid": Family(_ling_hybrid, _LING),
    "kimi_linear": Family(
        _kimi_linear,
        {
            **{"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
            **{"linear_num_heads": 32, "linear_head_dim": 128, "linear_conv_kernel_dim": 4, "first_k_dense_replace": 1},
            **{"num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 1024, "num_shared_experts": 1},
        },
    ),
}
