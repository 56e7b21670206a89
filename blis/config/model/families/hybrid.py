"""Models in which some or all layers keep a state instead of a cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from blis.config.model.families.experts import has_experts, mlps, routed
from blis.config.model.families.family import TIED, Family
from blis.config.model.families.parts import (
    FULL_TYPES,
    count_layers,
    dense_mlp,
    full_attention,
    hidden_size,
    stack,
    without_windows,
)
from blis.config.model.families.states import (
    gated_delta_net,
    mamba1,
    mamba2,
    short_convolution,
)
from blis.config.model.layers import Attention, Experts, LatentAttention, Layer, Mixer, Mlp, StateMixer
from blis.config.model.strict import ModelConfig, ratio

_STATE_TYPES = ("linear_attention", "mamba", "recurrent", "conv", "lightning_attention")
_TYPE_KEYS = ("layer_types", "layers_block_type")


def by_type(
    config: ModelConfig,
    attention: Attention | LatentAttention,
    make_state: Callable[[], StateMixer],
    default: Sequence[bool],
) -> list[Mixer]:
    """The mixers of all layers: by the list of their types, else by what ``default`` says of attention."""
    count = len(default)
    key = next((key for key in _TYPE_KEYS if config.has(key)), _TYPE_KEYS[0])
    types = config.layer_texts(key, count)
    config.ignore(*_TYPE_KEYS)
    for i, name in enumerate(types):
        if name not in FULL_TYPES and name not in _STATE_TYPES:
            config.fail(f"{key}[{i}]", f"{name!r} is not understood for models of this family")
    attends = [name in FULL_TYPES for name in types] if types else default
    if all(attends):
        return [attention] * count
    state = make_state()
    return [attention if flag else state for flag in attends]


def _qwen(config: ModelConfig) -> tuple[Layer, ...]:
    """Qwen3-Next and 3.5: Gated DeltaNet but for every n-th layer, whose attention has a gate."""
    count = count_layers(config)
    interval = config.integer("full_attention_interval", 4, least=1)
    attention = replace(full_attention(config), has_gate=config.flag("attn_output_gate", True))
    without_windows(config, count)
    attends = [(i + 1) % interval == 0 for i in range(count)]
    mixers = by_type(config, attention, partial(gated_delta_net, config), attends)
    return stack(mixers, mlps(config, count, is_mixture=False))


def _olmo(config: ModelConfig) -> tuple[Layer, ...]:
    """OLMo Hybrid: Gated DeltaNet but for every fourth layer."""
    count = count_layers(config)
    attends = [(i + 1) % 4 == 0 for i in range(count)]
    mixers = by_type(config, full_attention(config), partial(gated_delta_net, config), attends)
    return stack(mixers, [dense_mlp(config)] * count)


def _jamba(config: ModelConfig) -> tuple[Layer, ...]:
    """Jamba: attention and experts in layers of their own periods."""
    count = count_layers(config)
    period, offset = config.size("attn_layer_period"), config.integer("attn_layer_offset")
    attends = [i % period == offset for i in range(count)]
    mixers = by_type(config, full_attention(config), partial(_mamba1_of_jamba, config), attends)
    return stack(mixers, _mlps_of_jamba(config, count))


def _mlps_of_jamba(config: ModelConfig, count: int) -> list[Mlp | Experts]:
    period, offset = config.size("expert_layer_period"), config.integer("expert_layer_offset")
    dense = dense_mlp(config)
    if not has_experts(config):
        config.ignore("num_experts_per_tok")
        return [dense] * count
    experts = routed(config, width=dense.width)
    return [experts if i % period == offset else dense for i in range(count)]


def _time_rank(config: ModelConfig, key: str) -> int:
    if config.plain().get(key) in (None, "auto"):
        config.ignore(key)
        return math.ceil(hidden_size(config) / 16)
    return config.size(key)


def _mamba1_of_jamba(config: ModelConfig) -> StateMixer:
    return mamba1(
        config,
        inner=config.size("mamba_expand") * hidden_size(config),
        state=config.size("mamba_d_state"),
        kernel=config.size("mamba_d_conv"),
        rank=_time_rank(config, "mamba_dt_rank"),
    )


def _mamba2_of_bamba(config: ModelConfig) -> StateMixer:
    """Mamba-2 in the words of Bamba, Granite 4 and Falcon-H1, which says its channels."""
    inner = config.size("mamba_d_ssm") if config.has("mamba_d_ssm") else None
    inner = inner or config.size("mamba_expand") * hidden_size(config)
    heads = config.size("mamba_n_heads")
    if config.plain().get("mamba_d_head") in (None, "auto"):
        config.ignore("mamba_d_head")
        head_dim = inner // heads
    else:
        head_dim = config.size("mamba_d_head")
    if heads * head_dim != inner:
        config.fail("mamba_n_heads", f"must split {inner} channels, got {heads} heads of {head_dim}")
    groups, state, kernel = (config.size(key) for key in ("mamba_n_groups", "mamba_d_state", "mamba_d_conv"))
    return mamba2(config, heads=heads, head_dim=head_dim, state=state, groups=groups, kernel=kernel)


def _bamba(config: ModelConfig) -> tuple[Layer, ...]:
    count = count_layers(config)
    attends = config.numbers_of_layers("attn_layer_indices", count)
    state = partial(_mamba2_of_bamba, config)
    mixers = by_type(config, full_attention(config), state, [i in attends for i in range(count)])
    return stack(mixers, [dense_mlp(config)] * count)


def _granite(config: ModelConfig) -> tuple[Layer, ...]:
    """Granite 4: its dense MLP is the shared expert, which models without experts keep."""
    count = count_layers(config)
    shared = config.size("shared_intermediate_size")
    state = partial(_mamba2_of_bamba, config)
    config.ignore(*(key for key in config.names() if key.startswith("mamba_")))
    mixers = by_type(config, full_attention(config), state, [False] * count)
    if has_experts(config):
        return stack(mixers, [routed(config, width=config.size("intermediate_size"))] * count)
    config.ignore("intermediate_size", "num_experts_per_tok", "num_local_experts")
    return stack(mixers, [Mlp(shared)] * count)


def _falcon_h1(config: ModelConfig) -> tuple[Layer, ...]:
    """Falcon-H1: attention and Mamba-2 side by side in each layer."""
    config.ignore("mamba_expand")
    layer = Layer((full_attention(config), _mamba2_of_bamba(config)), dense_mlp(config))
    return (layer,) * count_layers(config)


def _lfm2(config: ModelConfig) -> tuple[Layer, ...]:
    """LFM2: the width of its MLPs is given before it is rounded."""
    mixers = _mixers_of_lfm2(config)
    return stack(mixers, [Mlp(_width_of_lfm2(config))] * len(mixers))


def _lfm2_moe(config: ModelConfig) -> tuple[Layer, ...]:
    mixers = _mixers_of_lfm2(config)
    return stack(mixers, mlps(config, len(mixers)))


def _mixers_of_lfm2(config: ModelConfig) -> list[Mixer]:
    """Short convolutions but for some layers."""
    count = count_layers(config)
    full = config.numbers_of_layers("full_attn_idxs", count)
    state = partial(short_convolution, hidden_size(config), config.size("conv_L_cache"))
    config.ignore("conv_dim", "conv_dim_out", "conv_use_xavier_init", "block_mlp_init_scale", "block_out_init_scale")
    config.ignore(
        "block_dim", "block_use_swiglu", "block_use_xavier_init", "use_pos_enc", "num_heads", "block_norm_eps"
    )
    default = [i in full or not full for i in range(count)]
    return by_type(config, full_attention(config), state, default)


def _width_of_lfm2(config: ModelConfig) -> int:
    width = config.size("block_ff_dim", "intermediate_size")
    multiple = config.size("block_multiple_of")
    factor = ratio(config, "block_ffn_dim_multiplier")
    if not config.flag("block_auto_adjust_ff_dim"):
        return width
    return multiple * math.ceil(int(factor * int(2 * width / 3)) / multiple)


def _mamba(config: ModelConfig) -> tuple[Layer, ...]:
    d = hidden_size(config)
    inner = config.size("intermediate_size", "d_inner", default=int(ratio(config, "expand") * d))
    state = mamba1(
        config,
        inner=inner,
        state=config.size("state_size"),
        kernel=config.size("conv_kernel"),
        rank=_time_rank(config, "time_step_rank"),
    )
    config.ignore("n_layer", "d_model", "ssm_cfg", "fused_add_norm", "pad_vocab_size_multiple")
    return (Layer((state,), None),) * count_layers(config)


def _mamba2(config: ModelConfig) -> tuple[Layer, ...]:
    state = mamba2(
        config,
        heads=config.size("num_heads"),
        head_dim=config.size("head_dim"),
        state=config.size("state_size"),
        groups=config.size("n_groups"),
        kernel=config.size("conv_kernel"),
    )
    config.ignore("expand", "time_step_rank", "intermediate_size")
    return (Layer((state,), None),) * count_layers(config)


_GDN = {
    "head_dim": 256,
    "num_key_value_heads": 2,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
}
_GDN_EXPERTS = {"moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "num_attention_heads": 16}
_QWEN_NEXT = Family(_qwen, {**_GDN, **_GDN_EXPERTS, "num_experts": 512, "num_experts_per_tok": 10})
_QWEN35 = Family(
    _qwen,
    {
        **_GDN,
        "vocab_size": 248320,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
    },
)
_QWEN35_MOE = Family(
    _qwen,
    {
        **_GDN,
        **_GDN_EXPERTS,
        "vocab_size": 248320,
        "hidden_size": 2048,
        "num_hidden_layers": 40,
        "num_experts": 256,
        "num_experts_per_tok": 8,
    },
)
_MAMBA2 = {"mamba_n_heads": 128, "mamba_n_groups": 1, "mamba_d_state": 256, "mamba_d_conv": 4, "mamba_expand": 2}
_MAMBA = {"state_size": 16, "conv_kernel": 4, "expand": 2}
_LFM2 = {
    **TIED,
    "conv_L_cache": 3,
    "num_key_value_heads": 8,
    "block_multiple_of": 256,
    "block_ffn_dim_multiplier": 1.0,
    "block_auto_adjust_ff_dim": True,
}

HYBRID: dict[str, Family] = {
    "qwen3_next": _QWEN_NEXT,
    "qwen3_5": _QWEN35,
    "qwen3_5_text": _QWEN35,
    "qwen3_5_moe": _QWEN35_MOE,
    "qwen3_5_moe_text": _QWEN35_MOE,
    "olmo_hybrid": Family(_olmo, {"linear_conv_kernel_dim": 4}),
    "jamba": Family(
        _jamba,
        {
            "num_key_value_heads": 8,
            "num_experts": 16,
            "num_experts_per_tok": 2,
            "attn_layer_period": 8,
            "attn_layer_offset": 4,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 16,
            "mamba_d_conv": 4,
            "mamba_expand": 2,
        },
    ),
    "bamba": Family(_bamba, {**_MAMBA2, "num_key_value_heads": 8}),
    "granitemoehybrid": Family(
        _granite, {**_MAMBA2, "shared_intermediate_size": 1024, "num_local_experts": 8, "num_experts_per_tok": 2}
    ),
    "falcon_h1": Family(_falcon_h1, {**_MAMBA2, "mamba_d_ssm": 1024, "num_key_value_heads": 8}),
    "lfm2": Family(_lfm2, _LFM2),
    "lfm2_moe": Family(_lfm2_moe, {**_LFM2, "num_dense_layers": 2}),
    "mamba": Family(_mamba, {**TIED, **_MAMBA}),
    "falcon_mamba": Family(_mamba, {**TIED, **_MAMBA}),
    "mamba2": Family(_mamba2, {"num_heads": 128, "head_dim": 64, "state_size": 128, "n_groups": 8, "conv_kernel": 4}),
}
