"""Step 3 and 3.5, with words of their own."""

from __future__ import annotations

from blis.config.model.families.experts import routed
from blis.config.model.families.family import Family
from blis.config.model.families.parts import count_layers, dense_mlp, stack
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
    """Experts in the layers whose numbers are listed in one text."""
    numbers = config.text("moe_layers_enum")
    try:
        sparse = {int(number) for number in numbers.split(",") if number.strip()}
    except ValueError:
        config.fail("moe_layers_enum", f"must be numbers of layers with commas between them, got {numbers!r}")
    config.ignore("use_moe", "moe_every_n_layer", "moe_layer_offset")
    experts = routed(config)
    dense = dense_mlp(config)
    return [experts if i in sparse else dense for i in range(count)]


def _step35(config: ModelConfig) -> tuple[Layer, ...]:
    """Step 3.5: layers with a window have heads of their own."""
    count = count_layers(config)
    heads, head_dim = config.size("num_attention_heads"), config.size("head_dim")
    full = Attention(heads, config.size("num_attention_groups", "num_key_value_heads"), head_dim, head_dim)
    other = config.part("attention_other_setting")
    other.text("attention_type", "sliding_attention", valid=("sliding_attention",))
    heads, groups = (other.integer(key, least=1) for key in ("num_attention_heads", "num_attention_groups"))
    dim = other.integer("head_dim", head_dim, least=1)
    windowed = Attention(heads, groups, dim, dim, "window", config.size("sliding_window"))
    types = config.layer_texts("layer_types", count)
    for i, name in enumerate(types):
        if name not in ("full_attention", "sliding_attention"):
            config.fail(f"layer_types[{i}]", f"{name!r} is not understood; valid: full_attention, sliding_attention")
    if not types:
        config.fail("layer_types", "missing")
    config.ignore("use_head_wise_attn_gate", "share_expert_dims", "yarn_only_types")
    mixers = [full if name == "full_attention" else windowed for name in types]
    return stack(mixers, _experts_of_step(config, count))


_STEP3 = Family(_step3, {"num_attention_groups": 1})

STEP: dict[str, Family] = {
    "step3": _STEP3,
    "step3_text": _STEP3,
    "step3_vl": _STEP3,
    "step3p5": Family(_step35),
}
