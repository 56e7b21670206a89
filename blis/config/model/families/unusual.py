"""Families whose configurations look like no other's: Step 3 and Nemotron from architecture search."""

from __future__ import annotations

from dataclasses import replace

from blis.config.model.families.experts import mlps, routed
from blis.config.model.families.family import Family
from blis.config.model.families.parts import count_layers, dense_mlp, full_attention, hidden_size, stack
from blis.config.model.layers import Attention, Experts, Layer, Mlp
from blis.config.model.strict import ModelConfig
from blis.files.decode import Section


def _step3(config: ModelConfig) -> tuple[Layer, ...]:
    """Step 3: one KV head per group, and queries by way of a shorter vector (arXiv:2507.19427)."""
    count = count_layers(config)
    heads = config.size("num_attention_heads")
    head_dim, rank = config.size("head_dim"), config.size("share_q_dim")
    groups = config.size("num_attention_groups", default=1)
    mixer = Attention(heads, groups, head_dim, head_dim, query_rank=rank)
    config.ignore("sliding_window") if not config.has("sliding_window") else None
    return stack([mixer] * count, _experts_of_step(config, count))


def _experts_of_step(config: ModelConfig, count: int) -> list[Mlp | Experts]:
    """Experts in the layers whose numbers are listed in one text."""
    numbers = config.text("moe_layers_enum", "")
    try:
        sparse = {int(number) for number in numbers.split(",") if number.strip()}
    except ValueError:
        config.fail("moe_layers_enum", f"must be numbers of layers with commas between them, got {numbers!r}")
    config.ignore("use_moe", "moe_every_n_layer", "moe_layer_offset")
    experts = routed(config)
    if config.has("share_expert_dim"):
        experts = replace(experts, shared_width=config.size("share_expert_dim"))
    dense = dense_mlp(config)
    return [experts if i in sparse or not sparse and i >= 3 else dense for i in range(count)]


def _step35(config: ModelConfig) -> tuple[Layer, ...]:
    """Step 3.5: layers with a window have heads of their own."""
    count = count_layers(config)
    heads, head_dim = config.size("num_attention_heads"), config.size("head_dim")
    full = Attention(heads, config.size("num_attention_groups", "num_key_value_heads"), head_dim, head_dim)
    other = config.section("attention_other_setting")
    other_dim = other.integer("head_dim", head_dim, least=1)
    windowed = Attention(
        *(other.integer("num_attention_heads", least=1), other.integer("num_attention_groups", least=1)),
        *(other_dim, other_dim, "window", config.size("sliding_window")),
    )
    types = config.layer_texts("layer_types", count)
    for i, name in enumerate(types):
        if name not in ("full_attention", "sliding_attention"):
            config.fail(f"layer_types[{i}]", f"{name!r} is not understood; valid: full_attention, sliding_attention")
    if not types:
        config.fail("layer_types", "missing")
    config.ignore("use_head_wise_attn_gate", "share_expert_dims", "yarn_only_types")
    mixers = [full if name == "full_attention" else windowed for name in types]
    return stack(mixers, _experts_of_step(config, count))


def _nemotron_nas(config: ModelConfig) -> tuple[Layer, ...]:
    """Nemotron Super and Ultra: each layer has sizes of its own, or leaves out a part."""
    one = full_attention_of_nas(config)
    blocks = config.sections("block_configs")
    if len(blocks) != count_layers(config):
        config.fail("block_configs", f"must describe {count_layers(config)} layers, got {len(blocks)}")
    return tuple(Layer(_mixers_of(block, one), _mlp_of(block, hidden_size(config))) for block in blocks)


def full_attention_of_nas(config: ModelConfig) -> Attention:
    """Heads of a layer before it says how many share a KV head; the number for all layers is null."""
    config.ignore("num_key_value_heads", "intermediate_size")
    return replace(full_attention(config), num_kv_heads=1)


def _mixers_of(block: Section, one: Attention) -> tuple[Attention, ...]:
    attention = block.section("attention")
    for key in ("replace_with_linear", "sparsify", "window_length", "num_sink_tokens", "unshifted_sink"):
        if attention.has(key) and attention.plain()[key] not in (False, []):
            attention.fail(key, "is not understood for models of this family")
    if attention.flag("no_op", False):
        return ()
    share = attention.integer("n_heads_in_group", least=1)
    return (replace(one, num_kv_heads=max(1, one.num_heads // share)),)


def _mlp_of(block: Section, d: int) -> Mlp | None:
    """Llama's rule for the width: two thirds of a multiple of four times d, rounded up to 256."""
    ffn = block.section("ffn")
    if ffn.flag("no_op", False):
        return None
    if ffn.flag("replace_with_linear", False):
        return Mlp(d, num_matrices=1)
    if ffn.has("sparsify") and ffn.plain()["sparsify"] not in (False, []):
        ffn.fail("sparsify", "is not understood for models of this family")
    width = int(2 * ffn.number("ffn_mult") * d / 3)
    return Mlp(-(-width // 256) * 256)


_STEP3 = Family(_step3, {"num_attention_groups": 1})

UNUSUAL: dict[str, Family] = {
    "step3": _STEP3,
    "step3_text": _STEP3,
    "step3_vl": _STEP3,
    "step3p5": Family(_step35),
    "nemotron-nas": Family(_nemotron_nas),
    "deci": Family(_nemotron_nas),
}
