"""Mixtures of experts whose attention has KV heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from blis.config.model.families.dense import all_but_first_of_four, lettered_windows
from blis.config.model.families.experts import has_experts, mlps, routed, sparse_layers
from blis.config.model.families.family import TIED, Family
from blis.config.model.families.parts import (
    Windowed,
    all_but_every,
    all_layers,
    attentions,
    count_layers,
    dense_mlp,
    full_attention,
    reaches,
    stack,
    with_reach,
    without_windows,
)
from blis.config.model.layers import Attention, Experts, Layer, Mlp, Reach
from blis.config.model.strict import ModelConfig


def _with(defaults: Mapping[str, object], windowed: Windowed | None = None, *, is_as_wide: bool = False) -> Family:
    """A family whose layers differ in windows and in whether they have experts.

    Args:
        defaults: of the class.
        windowed: the rule of windows where ``layer_types`` is not given.
        is_as_wide: whether ``intermediate_size`` is the width of an expert.
    """

    def read(config: ModelConfig) -> tuple[Layer, ...]:
        mixers = attentions(config, windowed)
        return stack(mixers, mlps(config, len(mixers), is_as_wide=is_as_wide))

    return Family(read, defaults)


def _windows_of_dots(config: ModelConfig, count: int) -> list[bool]:
    """Windows in the layers from ``max_window_layers`` on, of which published models have none."""
    first = config.integer("max_window_layers", count)
    if first >= count:
        config.ignore("sliding_window", "use_sliding_window")
    return [i >= first for i in range(count)]


def _alternating(config: ModelConfig, count: int) -> list[bool]:
    return [i % 2 == 0 for i in range(count)]


def _bailing(config: ModelConfig) -> tuple[Layer, ...]:
    """Ling: keys for windows that are never used."""
    if not config.flag("moe_router_enable_shared_expert", True):
        config.fail("moe_router_enable_shared_expert", "only true is understood for models of this family")
    mixers = attentions(config, without_windows)
    return stack(mixers, mlps(config, len(mixers)))


def _minimax_m2(config: ModelConfig) -> tuple[Layer, ...]:
    """MiniMax-M2: the list of kinds of attention that M1 had names one only, and its dense MLPs are gone."""
    mixers = attentions(config)
    if config.has("attn_type_list") and set(config.per_layer("attn_type_list", count=len(mixers), least=0)) != {1}:
        config.fail("attn_type_list", "only 1 (attention) is understood for models of this family")
    config.ignore("mlp_intermediate_size")
    return stack(mixers, mlps(config, len(mixers), is_as_wide=True))


def _ernie(config: ModelConfig) -> tuple[Layer, ...]:
    """ERNIE 4.5: experts from one layer to another."""
    mixers = attentions(config)
    count = len(mixers)
    config.ignore("moe_num_attn_experts")
    start = config.integer("moe_layer_start_index", 1)
    end = config.integer("moe_layer_end_index", -1, least=-1) % count
    interval = config.integer("moe_layer_interval", 1, least=1)
    dense, experts = dense_mlp(config), routed(config)
    return stack(mixers, [experts if start <= i <= end and (i + 1) % interval == 0 else dense for i in range(count)])


def _gpt_oss(config: ModelConfig) -> tuple[Layer, ...]:
    config.ignore("initial_context_length", "experts_per_token")
    mixers = attentions(config, _alternating)
    return stack(mixers, mlps(config, len(mixers), is_as_wide=True))


def _llama4(config: ModelConfig) -> tuple[Layer, ...]:
    """Llama 4: chunks in layers with rotary embedding, experts in every n-th layer, one shared one as wide."""
    count = count_layers(config)
    one = full_attention(config)
    width = config.size("intermediate_size")
    experts = routed(config, width=width, shared_width=width)
    dense = Mlp(config.size("intermediate_size_mlp"))
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
    mixers = attentions(config)
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


def _dbrx(config: ModelConfig) -> tuple[Layer, ...]:
    """DBRX, with its own names."""
    attention, experts = config.part("attn_config"), config.part("ffn_config")
    heads = config.size("n_heads")
    head_dim = config.size("d_model") // heads
    mixer = Attention(heads, attention.integer("kv_n_heads", least=1), head_dim, head_dim)
    count, chosen = experts.integer("moe_num_experts", least=1), experts.integer("moe_top_k", least=1)
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


def _exaone_moe(config: ModelConfig) -> tuple[Layer, ...]:
    mixers = attentions(config, lettered_windows)
    config.ignore("first_last_k_dense_replace")
    return stack(mixers, mlps(config, len(mixers)))


_QWEN3_VL = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "moe_intermediate_size": 1408,
    "num_experts_per_tok": 4,
    "num_experts": 60,
    "max_position_embeddings": 128000,
}
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
_GLM4_MOE = _with(
    {"num_key_value_heads": 8, "first_k_dense_replace": 1, "max_position_embeddings": 131072}
    | {"moe_intermediate_size": 1408, "n_routed_experts": 128, "n_shared_experts": 1, "num_experts_per_tok": 8}
)
_GRANITE = {"num_local_experts": 8, "num_experts_per_tok": 2}
_GRANITE_MOE = _with(_GRANITE, is_as_wide=True)
_SARVAM = {
    "num_key_value_heads": 4,
    "head_dim": 64,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
    "moe_intermediate_size": 1024,
    "num_experts_per_tok": 6,
    "n_routed_experts": 128,
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
_MELLUM = {
    "num_key_value_heads": 4,
    "head_dim": 128,
    "sliding_window": 1024,
    "moe_intermediate_size": 896,
    "num_local_experts": 64,
    "num_experts_per_tok": 8,
}
_COHERE = {"head_dim": 128, "sliding_window": 4096, "num_experts": 8, "num_experts_per_tok": 2}
_ARIA = {"moe_num_experts": 8, "moe_topk": 2, "moe_num_shared_experts": 2}
_MIXTRAL = {"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2}
_QWEN2_MOE = {
    "num_key_value_heads": 16,
    "num_experts": 60,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632,
}
_QWEN3_MOE = {"num_key_value_heads": 4, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768}
_ERNIE = {**TIED, "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_interval": 1}
_ERNIE |= {"num_key_value_heads": 4, "moe_num_experts": 64, "moe_k": 6, "moe_intermediate_size": 1536}
_EXAONE = {
    "sliding_window": 4096,
    "first_k_dense_replace": 1,
    "num_shared_experts": 1,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 1024,
}
_AFMOE = {
    "head_dim": 128,
    "num_dense_layers": 1,
    "num_shared_experts": 2,
    "sliding_window": 1024,
    "num_experts": 64,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1408,
}
_GPT_OSS = {
    "sliding_window": 128,
    "head_dim": 64,
    "num_key_value_heads": 8,
    "num_local_experts": 128,
    "num_experts_per_tok": 4,
}
_MINIMAX_M2 = {"head_dim": 128, "num_key_value_heads": 8, "num_local_experts": 256, "num_experts_per_tok": 8}
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
_HY_V3 = {
    "num_key_value_heads": 8,
    "head_dim": 128,
    "first_k_dense_replace": 1,
    "num_shared_experts": 1,
    "num_experts": 192,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 1536,
}
_SOLAR_OPEN = {
    "num_key_value_heads": 8,
    "head_dim": 128,
    "n_shared_experts": 1,
    "n_routed_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 1280,
}

SPARSE: dict[str, Family] = {
    "mixtral": _with(_MIXTRAL, all_layers, is_as_wide=True),
    "phimoe": _with({**_MIXTRAL, "num_local_experts": 16}, all_layers, is_as_wide=True),
    "qwen2_moe": _with(_QWEN2_MOE, without_windows),
    **dict.fromkeys(("qwen3_moe", "qwen3_omni_moe_text"), _with(_QWEN3_MOE, without_windows)),
    **dict.fromkeys(("qwen3_vl_moe", "qwen3_vl_moe_text"), _with(_QWEN3_VL, without_windows)),
    "deepseek": _with({}),
    **dict.fromkeys(("glm4_moe", "glm4v_moe", "glm4v_moe_text"), _GLM4_MOE),
    "dots1": _with({"sliding_window": 4096}, _windows_of_dots),
    "solar_open": _with(_SOLAR_OPEN),
    "gpt_oss": Family(_gpt_oss, _GPT_OSS),
    **dict.fromkeys(("llama4", "llama4_text"), Family(_llama4, _LLAMA4)),
    "olmoe": _with({"num_experts": 64, "num_experts_per_tok": 8}, is_as_wide=True),
    **dict.fromkeys(("granitemoe", "granitemoeshared"), _GRANITE_MOE),
    "minimax_m2": Family(_minimax_m2, _MINIMAX_M2),
    "ernie4_5_moe": Family(_ernie, _ERNIE),
    **dict.fromkeys(("bailing_moe", "bailing_moe_v2"), Family(_bailing)),
    **dict.fromkeys(("hunyuan", "hunyuan_v1_moe"), Family(_hunyuan)),
    **dict.fromkeys(("mimo_v2", "mimo_v2_flash"), Family(_mimo_v2, _MIMO_V2)),
    "exaone_moe": Family(_exaone_moe, _EXAONE),
    "afmoe": Family(_afmoe, _AFMOE),
    "hy_v3": _with(_HY_V3),
    "flex_olmo": _with({"num_experts": 7, "num_experts_per_tok": 5}, is_as_wide=True),
    "dbrx": Family(_dbrx),
    "sarvam_moe": _with(_SARVAM),
    "laguna": Family(_laguna, _LAGUNA),
    "mellum": _with(_MELLUM),
    **dict.fromkeys(("grok-1", "git"), Family(_grok, {"num_key_value_heads": 8, "num_experts_per_tok": 2})),
    "cohere2_moe": Family(_cohere2_moe, {**TIED, **_COHERE}),
    **dict.fromkeys(("aria", "aria_text"), _with(_ARIA, is_as_wide=True)),
    "granitemoe_swa": _with({**_GRANITE, "sliding_window": 128}, all_but_first_of_four, is_as_wide=True),
    "arctic": Family(_arctic),
}
