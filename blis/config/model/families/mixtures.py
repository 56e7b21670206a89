"""Mixtures of experts whose attention has KV heads, and whose layers differ in ways of their own."""

from __future__ import annotations

from dataclasses import replace

from blis.config.model.families.experts import check_chosen, has_experts, mlps, routed, sparse_layers
from blis.config.model.families.family import TIED, Family
from blis.config.model.families.parts import (
    all_but_every,
    attentions,
    count_layers,
    dense_mlp,
    full_attention,
    hidden_size,
    reaches,
    stack,
    with_reach,
    without_windows,
)
from blis.config.model.layers import Attention, Experts, Layer, Mlp, Reach
from blis.config.model.strict import ModelConfig


def _llama4(config: ModelConfig) -> tuple[Layer, ...]:
    """Llama 4: chunks in layers with rotary embedding, experts in every n-th layer, one shared one as wide."""
    count = count_layers(config)
    one = full_attention(config)
    width, dense = config.size("intermediate_size"), Mlp(config.size("intermediate_size_mlp"))
    experts = routed(config, width=width, shared_width=width) if has_experts(config) else dense
    config.ignore("num_experts_per_tok", "num_local_experts")
    step = config.size("interleave_moe_layer_step")
    sparse = config.numbers_of_layers("moe_layers", count) or set(range(step - 1, count, step))
    config.ignore("for_llm_compressor", "attn_scale")
    return stack(
        [with_reach(one, reach) for reach in _reaches_of_llama4(config, count)],
        [experts if i in sparse else dense for i in range(count)],
    )


def _reaches_of_llama4(config: ModelConfig, count: int) -> list[tuple[Reach, int]]:
    rotary = config.per_layer("no_rope_layers", count=count, least=0) if config.holds_list("no_rope_layers") else []
    config.ignore("no_rope_layers")
    if config.has("layer_types"):
        return reaches(config, count)
    interval = config.integer("no_rope_layer_interval", 4, least=1)
    rotary = rotary or [(i + 1) % interval for i in range(count)]
    tokens = config.integer("attention_chunk_size", 0)
    return [("chunk", tokens) if has_rope and tokens else ("full", 0) for has_rope in rotary]


def _laguna(config: ModelConfig) -> tuple[Layer, ...]:
    """Laguna: each layer has a number of heads of its own, and a gate for each head, or for each of its elements."""
    mixers = attentions(config, without_windows)
    config.ignore("num_attention_heads_per_layer")
    if config.has("num_attention_heads_per_layer"):
        heads = config.per_layer("num_attention_heads_per_layer", count=len(mixers))
        mixers = [replace(mixer, num_heads=each) for mixer, each in zip(mixers, heads, strict=True)]
    config.ignore("gating")
    is_wide = config.plain().get("gating") not in (None, True, False, "per-head")
    return stack([replace(mixer, has_gate=is_wide) for mixer in mixers], mlps(config, len(mixers)))


def _grok(config: ModelConfig) -> tuple[Layer, ...]:
    """Grok: Grok 2 has a dense MLP beside its experts in each layer."""
    mixers = attentions(config)
    config.ignore("sliding_window_size", "global_attn_every_n", "attn_temperature_len")
    width = config.size("intermediate_size")
    shared = width if config.flag("residual_moe", False) else 0
    return stack(mixers, [routed(config, width=width, shared_width=shared)] * len(mixers))


def _cohere2_moe(config: ModelConfig) -> tuple[Layer, ...]:
    """Cohere's mixture: the first layers may be dense, of a width of their own."""
    mixers = attentions(config, all_but_every(4))
    config.ignore("prefix_dense_sliding_window_pattern", "shared_expert_combination_strategy", "expert_selection_fn")
    width = config.size("intermediate_size")
    experts, dense = routed(config, width=width), Mlp(config.size("prefix_dense_intermediate_size", default=width))
    return stack(mixers, [experts if flag else dense for flag in sparse_layers(config, len(mixers))])


def _ernie_vl(config: ModelConfig) -> tuple[Layer, ...]:
    """ERNIE 4.5 VL: experts for texts beside experts for images; what follows texts meets the first ones only."""
    mixers = attentions(config)
    config.ignore("moe_num_experts", "moe_intermediate_size", "moe_use_aux_free", "compression_ratio")
    config.ignore("pixel_hidden_size", "spatial_conv_size", "temporal_conv_size", "use_temporal_conv")
    config.doubt("experts for images take memory; all tokens are timed as those of texts")
    count, chosen, width = _of_both(config, "moe_num_experts")[0], config.size("moe_k"), _widths_of_ernie(config)[0]
    check_chosen(config, "moe_k", chosen, "moe_num_experts", count)
    experts = Experts(count, chosen, width, config.size("moe_num_shared_experts", least=0) * width)
    dense = dense_mlp(config)
    return stack(mixers, [experts if flag else dense for flag in _sparse_of_ernie(config, len(mixers))])


def _experts_for_images(config: ModelConfig) -> int:
    sparse = sum(_sparse_of_ernie(config, count_layers(config)))
    return sparse * _of_both(config, "moe_num_experts")[1] * 3 * hidden_size(config) * _widths_of_ernie(config)[1]


def _widths_of_ernie(config: ModelConfig) -> tuple[int, int]:
    return _of_both(config, "moe_intermediate_size")


def _of_both(config: ModelConfig, key: str) -> tuple[int, int]:
    """A figure of the experts for texts and of those for images, which may be one."""
    texts, images = config.per_layer(key, count=2)
    return texts, images


def _sparse_of_ernie(config: ModelConfig, count: int) -> list[bool]:
    """Experts from one layer to another."""
    if config.has("mlp_layer_types"):
        return sparse_layers(config, count)
    first, last = (
        config.per_layer(f"moe_layer_{end}_index", count=2, default=default, least=0)[0]
        for end, default in (("start", 1), ("end", count - 1))
    )
    interval = config.integer("moe_layer_interval", 1, least=1)
    return [first <= i <= last and (i + 1) % interval == 0 for i in range(count)]


def _dbrx(config: ModelConfig) -> tuple[Layer, ...]:
    """DBRX, with its own names."""
    attention, experts = config.part("attn_config"), config.part("ffn_config")
    heads = config.size("n_heads")
    head_dim = config.size("d_model") // heads
    mixer = Attention(heads, attention.integer("kv_n_heads", least=1), head_dim, head_dim)
    count, chosen = experts.integer("moe_num_experts", least=1), experts.integer("moe_top_k", least=1)
    check_chosen(experts, "moe_top_k", chosen, "moe_num_experts", count)
    mlp = Experts(count, chosen, experts.integer("ffn_hidden_size", least=1))
    return stack([mixer] * (layers := count_layers(config)), [mlp] * layers)


def _arctic(config: ModelConfig) -> tuple[Layer, ...]:
    """Arctic: beside its experts each layer has a dense MLP, as wide as the model."""
    if not config.flag("use_residual", True) or config.integer("moe_layer_frequency", 1) != 1:
        config.fail("use_residual", "only a dense MLP and experts in all layers are understood")
    config.ignore("parallel_attn_mlp_res", "enable_expert_tensor_parallelism", "moe_layer_frequency", "quantization")
    mixers = attentions(config)
    width = config.size("intermediate_size")
    experts = routed(config, width=width, shared_width=config.size("hidden_size"))
    return stack(mixers, [experts] * len(mixers))


def _hunyuan(config: ModelConfig) -> tuple[Layer, ...]:
    """Hunyuan: sizes per layer, and with ``use_cla`` layers that read the cache of an earlier one."""
    count = count_layers(config)
    one = full_attention(config)
    share = config.size("cla_share_factor", default=1) if config.flag("use_cla", False) else 1
    config.ignore("cla_share_factor", "num_shared_expert", "moe_topk", "moe_intermediate_size")
    config.ignore("use_mixed_mlp_moe", "intermediate_size", "org_vocab_size", "moe_layer_num_skipped")
    mixers = [replace(one, keeps_cache=i % share == 0) for i in range(count)]
    return stack(mixers, _experts_of_hunyuan(config, count))


def _experts_of_hunyuan(config: ModelConfig, count: int) -> list[Mlp | Experts]:
    if not has_experts(config):
        return [dense_mlp(config)] * count
    experts = config.size("num_experts")
    chosen = config.per_layer("moe_topk", "num_experts_per_tok", count=count)
    check_chosen(config, "moe_topk", max(chosen), "num_experts", experts)
    widths = config.per_layer("moe_intermediate_size", "intermediate_size", count=count)
    has_shared = config.flag("use_mixed_mlp_moe", True)
    shared = config.per_layer("num_shared_expert", count=count, default=1) if has_shared else [0] * count
    first = config.integer("moe_layer_num_skipped", 0)
    sparse = [Experts(experts, k, width, s * width) for k, width, s in zip(chosen, widths, shared, strict=True)]
    return [dense_mlp(config) if i < first else sparse[i] for i in range(count)]


def _mimo_v2(config: ModelConfig) -> tuple[Layer, ...]:
    """MiMo-V2: layers with a window have heads of their own."""
    count = count_layers(config)
    heads = full_attention(config)
    full = replace(heads, value_head_dim=config.size("v_head_dim", default=heads.head_dim))
    windowed = Attention(
        config.size("swa_num_attention_heads", default=full.num_heads),
        config.size("swa_num_key_value_heads", default=2 * full.num_kv_heads),
        config.size("swa_head_dim", default=full.head_dim),
        config.size("swa_v_head_dim", default=full.value_head_dim),
        "window",
        config.size("sliding_window", "sliding_window_size", default=128),
    )
    config.ignore("attention_chunk_size", "hybrid_block_size", "add_swa_attention_sink_bias")
    mixers = [windowed if flag else full for flag in _windows_of_mimo(config, count)]
    return stack(mixers, mlps(config, count))


def _windows_of_mimo(config: ModelConfig, count: int) -> list[bool]:
    """By its own code's pattern, by the layers' types, or as the class has it: all but every sixth and the first."""
    if config.has("hybrid_layer_pattern"):
        config.ignore("layer_types")
        return [flag > 0 for flag in config.per_layer("hybrid_layer_pattern", count=count, least=0)]
    if config.has("layer_types"):
        return [reach != "full" for reach, _ in reaches(config, count)]
    return [i > 0 and (i + 1) % 6 != 0 for i in range(count)]


def _every_nth_global(config: ModelConfig, count: int) -> list[bool]:
    period = config.integer("global_attn_every_n_layers", 4, least=1)
    return [(i + 1) % period != 0 for i in range(count)]


def _afmoe(config: ModelConfig) -> tuple[Layer, ...]:
    """Trinity: attention with a gate."""
    mixers = [replace(mixer, has_gate=True) for mixer in attentions(config, _every_nth_global)]
    return stack(mixers, mlps(config, len(mixers)))


_LLAMA4 = {
    "vocab_size": 202048,
    "hidden_size": 5120,
    "intermediate_size": 8192,
    "intermediate_size_mlp": 16384,
    "max_position_embeddings": 131072,
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "num_experts_per_tok": 1,
    "num_local_experts": 16,
    "interleave_moe_layer_step": 1,
    "attention_chunk_size": 8192,
}
_LAGUNA = {
    "num_key_value_heads": 8,
    "head_dim": 128,
    "sliding_window": 512,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "num_experts": 256,
    "num_experts_per_tok": 8,
}
_COHERE = {"head_dim": 128, "sliding_window": 4096, "num_experts": 8, "num_experts_per_tok": 2}
_AFMOE = {
    "head_dim": 128,
    "num_dense_layers": 1,
    "num_shared_experts": 2,
    "sliding_window": 1024,
    "num_experts": 64,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1408,
}
_MIMO_V2 = {
    "num_key_value_heads": 4,
    "head_dim": 192,
    "v_head_dim": 128,
    "sliding_window": 128,
    "first_k_dense_replace": 1,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
}

_ERNIE_VL = {
    **TIED,
    "num_key_value_heads": 4,
    "moe_num_experts": 64,
    "moe_intermediate_size": [1536, 512],
    "moe_k": 6,
    "moe_num_shared_experts": 2,
}

MIXTURES: dict[str, Family] = {
    **dict.fromkeys(
        ("ernie4_5_vl_moe", "ernie4_5_vl_moe_text", "ernie4_5_moe_vl"),
        Family(_ernie_vl, _ERNIE_VL, _experts_for_images),
    ),
    **dict.fromkeys(("llama4", "llama4_text"), Family(_llama4, _LLAMA4)),
    **dict.fromkeys(("hunyuan", "hunyuan_v1_moe"), Family(_hunyuan)),
    **dict.fromkeys(("mimo_v2", "mimo_v2_flash"), Family(_mimo_v2, _MIMO_V2)),
    "afmoe": Family(_afmoe, _AFMOE),
    "dbrx": Family(_dbrx),
    "laguna": Family(_laguna, _LAGUNA),
    **dict.fromkeys(("grok-1", "git"), Family(_grok, {"num_key_value_heads": 8, "num_experts_per_tok": 2})),
    "cohere2_moe": Family(_cohere2_moe, {**TIED, **_COHERE}),
    "arctic": Family(_arctic),
}
