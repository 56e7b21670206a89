"""Nemotron: hybrids of three or four parts, and transformers whose layers a search has chosen."""

from __future__ import annotations

from dataclasses import replace

from blis.config.model.families.experts import routed
from blis.config.model.families.family import Family
from blis.config.model.families.parts import count_layers, dense_mlp, full_attention, hidden_size
from blis.config.model.families.states import mamba2
from blis.config.model.layers import Attention, Layer, Mlp, StateMixer
from blis.config.model.strict import ModelConfig, ratio
from blis.files.decode import Section

_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
_PARTS = {"linear_attention": "mamba", "full_attention": "attention", **{name: name for name in _LETTERS.values()}}


def _nemotron_h(config: ModelConfig) -> tuple[Layer, ...]:
    """Nemotron-H and Nemotron 3: each layer is one part, by a letter of a pattern or its name in a list."""
    made: dict[str, Layer] = {}
    config.ignore("time_step_rank", "attention_head_dim", "head_dim", "expand", "intermediate_size")
    for name in (parts := _parts_of_nemotron(config)):
        if name not in made:
            made[name] = _layer_of_nemotron(config, name)
    _ignore_unused(config, made)
    return tuple(made[name] for name in parts)


def _parts_of_nemotron(config: ModelConfig) -> list[str]:
    parts = _listed_parts(config) or _lettered_parts(config)
    config.ignore("hybrid_override_pattern")
    if config.has("num_hidden_layers") and config.integer("num_hidden_layers") != len(parts):
        config.fail("num_hidden_layers", f"must be the number of layers in the pattern ({len(parts)})")
    return parts


def _listed_parts(config: ModelConfig) -> list[str]:
    key = "layers_block_type" if config.has("layers_block_type") else "layer_types"
    names = config.texts(key)
    config.ignore("layers_block_type", "layer_types")
    for i, name in enumerate(names):
        if name not in _PARTS:
            config.fail(f"{key}[{i}]", f"{name!r} is not understood; valid: {', '.join(_LETTERS.values())}")
    return [_PARTS[name] for name in names]


def _lettered_parts(config: ModelConfig) -> list[str]:
    pattern = config.text("hybrid_override_pattern")
    for i, letter in enumerate(pattern):
        if letter not in _LETTERS:
            problem = f"letter {i + 1}, {letter!r}, is not understood; valid: {' '.join(_LETTERS)}"
            config.fail("hybrid_override_pattern", problem)
    return [_LETTERS[letter] for letter in pattern]


def _layer_of_nemotron(config: ModelConfig, name: str) -> Layer:
    if name == "attention":
        return Layer((full_attention(config),), None)
    if name == "mlp":
        return Layer((), dense_mlp(config, num_matrices=2))
    if name == "moe":
        latent = config.size("moe_latent_size") if config.has("moe_latent_size") else None
        return Layer((), replace(routed(config, num_matrices=2), latent_size=latent))
    return Layer((_mamba2_of_nemotron(config),), None)


def _mamba2_of_nemotron(config: ModelConfig) -> StateMixer:
    return mamba2(
        config,
        heads=config.size("mamba_num_heads"),
        head_dim=config.size("mamba_head_dim"),
        state=config.size("ssm_state_size"),
        groups=config.size("n_groups", "mamba_n_groups"),
        kernel=config.size("conv_kernel", "mamba_d_conv"),
        default_bytes=4,
    )


def _ignore_unused(config: ModelConfig, made: dict[str, Layer]) -> None:
    """Sizes of parts that the pattern does not have are written all the same."""
    if "moe" not in made:
        config.ignore("n_routed_experts", "n_shared_experts", "moe_intermediate_size", "num_experts_per_tok")
        config.ignore("moe_shared_expert_intermediate_size", "moe_latent_size")
    if "mamba" not in made:
        config.ignore("mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups", "conv_kernel")
        config.ignore("mamba_ssm_cache_dtype")


def _nemotron_nas(config: ModelConfig) -> tuple[Layer, ...]:
    """Nemotron Super and Ultra: each layer has sizes of its own, or leaves out a part."""
    one = _heads_of_nas(config)
    blocks = config.sections("block_configs")
    if len(blocks) != count_layers(config):
        config.fail("block_configs", f"must describe {count_layers(config)} layers, got {len(blocks)}")
    return tuple(Layer(_mixers_of(block, one), _mlp_of(block, hidden_size(config))) for block in blocks)


def _heads_of_nas(config: ModelConfig) -> Attention:
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
    width = int(2 * ratio(ffn, "ffn_mult") * d / 3)
    return Mlp(-(-width // 256) * 256)


NEMOTRON: dict[str, Family] = {
    "nemotron_h": Family(
        _nemotron_h,
        {
            "head_dim": 128,
            "num_key_value_heads": 8,
            "ssm_state_size": 128,
            "mamba_num_heads": 128,
            "mamba_head_dim": 64,
            "n_groups": 8,
            "conv_kernel": 4,
            "n_shared_experts": 1,
        },
    ),
    **dict.fromkeys(("nemotron-nas", "deci"), Family(_nemotron_nas)),
}
