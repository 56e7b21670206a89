"""Mixtures of experts whose attention has KV heads, and whose layers are much alike."""

from __future__ import annotations

from collections.abc import Mapping

from blis.config.model.families.dense import all_but_first_of_four, lettered_windows
from blis.config.model.families.experts import mlps, routed
from blis.config.model.families.family import TIED, Family
from blis.config.model.families.parts import (
    Windowed,
    all_layers,
    attentions,
    dense_mlp,
    stack,
    without_windows,
)
from blis.config.model.layers import Layer
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
    end = config.integer("moe_layer_end_index", -1, least=-1)
    end = count - 1 if end == -1 else end
    interval = config.integer("moe_layer_interval", 1, least=1)
    dense, experts = dense_mlp(config), routed(config)
    return stack(mixers, [experts if start <= i <= end and (i + 1) % interval == 0 else dense for i in range(count)])


def _gpt_oss(config: ModelConfig) -> tuple[Layer, ...]:
    config.ignore("initial_context_length", "experts_per_token")
    mixers = attentions(config, _alternating)
    return stack(mixers, mlps(config, len(mixers), is_as_wide=True))


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
_GLM4_MOE = _with(
    {
        "num_key_value_heads": 8,
        "first_k_dense_replace": 1,
        "max_position_embeddings": 131072,
        "moe_intermediate_size": 1408,
        "n_routed_experts": 128,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
    }
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
_MELLUM = {
    "num_key_value_heads": 4,
    "head_dim": 128,
    "sliding_window": 1024,
    "moe_intermediate_size": 896,
    "num_local_experts": 64,
    "num_experts_per_tok": 8,
}
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
_ERNIE = {
    **TIED,
    "num_key_value_heads": 4,
    "moe_num_experts": 64,
    "moe_k": 6,
    "moe_intermediate_size": 1536,
    "moe_num_shared_experts": 2,
    "moe_layer_start_index": 1,
    "moe_layer_interval": 1,
}
_EXAONE = {
    "sliding_window": 4096,
    "first_k_dense_replace": 1,
    "num_shared_experts": 1,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 1024,
}
_GPT_OSS = {
    "sliding_window": 128,
    "head_dim": 64,
    "num_key_value_heads": 8,
    "num_local_experts": 128,
    "num_experts_per_tok": 4,
}
_MINIMAX_M2 = {"head_dim": 128, "num_key_value_heads": 8, "num_local_experts": 256, "num_experts_per_tok": 8}
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
    "olmoe": _with({"num_experts": 64, "num_experts_per_tok": 8}, is_as_wide=True),
    **dict.fromkeys(("granitemoe", "granitemoeshared"), _GRANITE_MOE),
    "minimax_m2": Family(_minimax_m2, _MINIMAX_M2),
    "ernie4_5_moe": Family(_ernie, _ERNIE),
    **dict.fromkeys(("bailing_moe", "bailing_moe_v2"), Family(_bailing)),
    "exaone_moe": Family(_exaone_moe, _EXAONE),
    "hy_v3": _with(_HY_V3),
    "flex_olmo": _with({"num_experts": 7, "num_experts_per_tok": 5}, is_as_wide=True),
    "sarvam_moe": _with(_SARVAM),
    "mellum": _with(_MELLUM, without_windows),
    **dict.fromkeys(("aria", "aria_text"), _with(_ARIA, is_as_wide=True)),
    "granitemoe_swa": _with({**_GRANITE, "sliding_window": 128}, all_but_first_of_four, is_as_wide=True),
}
