"""Step 3 and 3.5, with words of their own."""

from __future__ import annotations

from dataclasses import replace

from blis.config.model.families.experts import routed, sparse_layers
from blis.config.model.families.family import Family
from blis.config.model.families.parts import count_layers, dense_mlp, reaches, stack, with_reach
from blis.config.model.layers import Attention, Experts, Layer, Mlp
from blis.config.model.strict import ModelConfig


def _step3(config: ModelConfig) -> tuple[Layer, ...]:
    """Step 3: one KV head per group, and queries by way of a shorter vector (arXiv:2507.19427)."""
    count = count_layers(config)
    heads = config.size("num_attention_heads")
    head_dim, rank = config.size("head_dim"), config.size("share_q_dim")
    groups = config.size("num_attention_groups", default=1)
    mixer = Attention(heads, groups, head_dim, head_dim, query_rank=rank)
    return stack([mixer] * count, _experts_of_step(config, count))


def _experts_of_step(config: ModelConfig, count: int) -> list[Mlp | Experts]:
    """Experts in the layers whose numbers are listed in one text, or as other families say it."""
    config.ignore("use_moe", "moe_every_n_layer", "moe_layer_offset")
    experts, dense = routed(config), dense_mlp(config)
    if not config.has("moe_layers_enum"):
        return [experts if flag else dense for flag in sparse_layers(config, count)]
    numbers = config.text("moe_layers_enum")
    try:
        sparse = {int(number) for number in numbers.split(",") if number.strip()}
    except ValueError:
        config.fail("moe_layers_enum", f"must be numbers of layers with commas between them, got {numbers!r}")
    return [experts if i in sparse else dense for i in range(count)]


def _step35(config: ModelConfig) -> tuple[Layer, ...]:
    """Step 3.5: layers with a window have heads of their own."""
    count = count_layers(config)
    heads, head_dim = config.size("num_attention_heads"), config.size("head_dim")
    full = Attention(heads, config.size("num_attention_groups", "num_key_value_heads"), head_dim, head_dim)
    other = _other_heads(config, full) if config.has("attention_other_setting") else _more_heads(config, full)
    config.ignore("use_head_wise_attn_gate", "share_expert_dims", "yarn_only_types", "sliding_window")
    all_reach = reaches(config, count)
    mixers = [full if reach[0] == "full" else with_reach(other, reach) for reach in all_reach]
    return stack(mixers, _experts_of_step(config, count))


def _other_heads(config: ModelConfig, full: Attention) -> Attention:
    """Of layers with a window, in the words of the model's own code."""
    other = config.part("attention_other_setting")
    other.text("attention_type", "sliding_attention", valid=("sliding_attention",))
    heads, groups = (other.integer(key, least=1) for key in ("num_attention_heads", "num_attention_groups"))
    dim = other.integer("head_dim", full.head_dim, least=1)
    other.integer("true_head_dim", dim)
    return Attention(heads, groups, dim, dim)


def _more_heads(config: ModelConfig, full: Attention) -> Attention:
    """The same in transformers' words."""
    return replace(full, num_heads=config.size("num_sliding_attention_heads", default=full.num_heads))


_STEP3 = Family(_step3, {"num_attention_groups": 1})
_STEP35 = {
    "num_key_value_heads": 8,
    "head_dim": 128,
    "first_k_dense_replace": 3,
    "n_routed_experts": 288,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 1280,
    "share_expert_dim": 1280,
}

STEP: dict[str, Family] = {
    "step3": _STEP3,
    "step3_text": _STEP3,
    "step3_vl": _STEP3,
    **dict.fromkeys(("step3p5", "step3p7"), Family(_step35, _STEP35)),
}
