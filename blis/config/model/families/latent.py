"""Models with latent attention (MLA): DeepSeek V2 to V3.2, Kimi K2, GLM-4.7-Flash, GLM-5."""

from __future__ import annotations

from dataclasses import replace

from blis.config.model.families.experts import check_chosen, mlps
from blis.config.model.families.family import TIED, Family
from blis.config.model.families.parts import count_layers, dense_mlp, full_attention, stack
from blis.config.model.layers import Attention, Experts, Indexer, LatentAttention, Layer
from blis.config.model.strict import ModelConfig


def latent_attention(config: ModelConfig) -> LatentAttention | Attention:
    """Latent attention without an indexer; attention with KV heads if ``kv_lora_rank`` is null (DeepSeek-VL2-Tiny)."""
    if not config.has("kv_lora_rank"):
        config.ignore("q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "use_mla")
        return full_attention(config)
    config.ignore("head_dim", "qk_head_dim", "q_head_dim", "num_key_value_heads", "use_mla", "mla_use_nope")
    return LatentAttention(
        num_heads=config.size("num_attention_heads"),
        kv_lora_rank=config.size("kv_lora_rank"),
        q_lora_rank=config.size("q_lora_rank") if config.has("q_lora_rank") else None,
        qk_nope_head_dim=config.size("qk_nope_head_dim"),
        qk_rope_head_dim=config.size("qk_rope_head_dim"),
        v_head_dim=config.size("v_head_dim"),
    )


def _plain(config: ModelConfig) -> tuple[Layer, ...]:
    count = count_layers(config)
    return stack([latent_attention(config)] * count, mlps(config, count))


def _dense(config: ModelConfig) -> tuple[Layer, ...]:
    return stack([latent_attention(config)] * (count := count_layers(config)), [dense_mlp(config)] * count)


def _with_indexer(config: ModelConfig) -> tuple[Layer, ...]:
    """Sparse attention: an indexer in each layer, or in some whose choice later ones take over (GLM-5.2)."""
    count = count_layers(config)
    attention = latent_attention(config)
    if not isinstance(attention, LatentAttention):
        config.fail("kv_lora_rank", "missing: sparse attention is understood for latent attention only")
    own = Indexer(config.size("index_n_heads"), config.size("index_head_dim"), config.size("index_topk"))
    types = config.layer_texts("layer_types", count)
    for i, name in enumerate(types):
        if name not in ("indexed_attention", "deepseek_sparse_attention"):
            config.fail(f"layer_types[{i}]", f"{name!r} is not understood; valid: indexed_attention")
    mixers = [replace(attention, indexer=replace(own, is_shared=is_shared)) for is_shared in _shared(config, count)]
    return stack(mixers, mlps(config, count))


def _shared(config: ModelConfig, count: int) -> list[bool]:
    """Of each layer, whether it takes over an earlier layer's choice."""
    types = config.layer_texts("indexer_types", count)
    frequency = config.integer("index_topk_freq", 1, least=1)
    offset = config.integer("index_skip_topk_offset", 2)
    pattern = config.text("index_topk_pattern", "")
    if types:
        for i, name in enumerate(types):
            if name not in ("full", "shared"):
                config.fail(f"indexer_types[{i}]", f"{name!r} is not understood; valid: full, shared")
        return [name == "shared" for name in types]
    if pattern:
        if len(pattern) < count or set(pattern) - set("FS"):
            config.fail("index_topk_pattern", f"must be one letter, F or S, for each of {count} layers")
        return [letter == "S" for letter in pattern[:count]]
    return [max(i - offset + 1, 0) % frequency != 0 for i in range(count)]


_V2 = {
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
_V3 = {
    **_V2,
    "vocab_size": 129280,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "n_shared_experts": 1,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "max_position_embeddings": 4096,
}
_V32 = {**_V3, "index_topk": 2048, "index_head_dim": 128, "index_n_heads": 64}
_GLM = {"q_lora_rank": 768, "qk_nope_head_dim": 192, "v_head_dim": 256, "n_shared_experts": 1}
_GLM_LITE = {
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 1536,
    "n_routed_experts": 64,
    "num_experts_per_tok": 4,
}


def _longcat(config: ModelConfig) -> tuple[Layer, ...]:
    """LongCat-Flash: in each layer two attentions with an MLP each, and experts beside them (arXiv:2509.01322).

    Some experts do nothing, and a token that is sent to them meets fewer others: on average as many as their share.
    """
    attention = latent_attention(config)
    config.text("attention_method", "MLA", valid=("MLA", "mla"))
    config.text("zero_expert_type", "identity", valid=("identity",))
    count, chosen = config.size("n_routed_experts"), config.size("moe_topk", "num_experts_per_tok")
    idle = config.integer("zero_expert_num", 0)
    check_chosen(config, "moe_topk", chosen, "n_routed_experts", count)
    config.ignore("mla_scale_q_lora", "mla_scale_kv_lora")
    width = config.size("expert_ffn_hidden_size", "moe_intermediate_size")
    experts = Experts(count, max(1, round(chosen * count / (count + idle))), width)
    if idle:
        config.doubt(
            f"{idle} experts do nothing: of {chosen} per token {experts.experts_per_token} are taken for others"
        )
    halves = (Layer((attention,), dense_mlp(config)),) * 2
    return (*halves, Layer((), experts)) * count_layers(config)


_MISTRAL4 = {
    **{"kv_lora_rank": 256, "q_lora_rank": 1024, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64, "v_head_dim": 128},
    **{"moe_intermediate_size": 2048, "n_routed_experts": 128, "n_shared_experts": 1, "num_experts_per_tok": 4},
}
_AXK1 = {"num_attention_heads": 64, "n_routed_experts": 192, "first_k_dense_replace": 1}
_SARVAM = {
    "q_lora_rank": None,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "n_routed_experts": 128,
    "moe_intermediate_size": 2048,
}
_LONGCAT = {
    "ffn_hidden_size": 12288,
    "n_routed_experts": 512,
    "moe_topk": 12,
    "expert_ffn_hidden_size": 2048,
    "zero_expert_num": 256,
}

LATENT: dict[str, Family] = {
    "deepseek_v2": Family(_plain, _V2),
    "deepseek_vl_v2": Family(_plain, _V2),
    "deepseek_v3": Family(_plain, _V3),
    "kimi_k2": Family(_plain, _V3),
    "kimi_k25": Family(_plain, _V3),
    "kimi_vl": Family(_plain, _V3),
    "deepseek_v32": Family(_with_indexer, _V32),
    "glm4_moe_lite": Family(_plain, {**_V2, **_GLM, **_GLM_LITE}),
    "glm_moe_dsa": Family(_with_indexer, {**_V32, **_GLM, "q_lora_rank": 2048, "index_n_heads": 32}),
    "mistral4": Family(_plain, _MISTRAL4),
    "axk1": Family(_plain, {**_V3, **_AXK1}),
    "youtu": Family(_dense, {**TIED, **_V2}),
    "sarvam_mla": Family(_plain, {**_V2, **_SARVAM}),
    "longcat_flash": Family(_longcat, {**_V2, **_LONGCAT}),
    "minicpm3": Family(
        _dense,
        {
            **TIED,
            "kv_lora_rank": 256,
            "q_lora_rank": 768,
            "qk_nope_head_dim": 64,
            "qk_rope_head_dim": 32,
            "v_head_dim": 64,
        },
    ),
}
