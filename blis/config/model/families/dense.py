"""Dense transformers: all layers have attention with KV heads and one MLP."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from blis.config.model.families.family import TIED, Family
from blis.config.model.families.parts import (
    Windowed,
    all_but_every,
    all_layers,
    attentions,
    count_layers,
    dense_layers,
    dense_mlp,
    from_max_window_layers,
    full_attention,
    hidden_size,
    reaches,
    stack,
    window_tokens,
    with_reach,
)
from blis.config.model.layers import Layer
from blis.config.model.strict import ModelConfig


def _mistral(config: ModelConfig) -> tuple[Layer, ...]:
    """The class has a window of 4,096 by default, but published models without one say ``null`` or leave it out."""
    if not config.is_given("sliding_window"):
        if not config.is_nested:
            config.doubt("sliding_window is not said: full attention in all layers")
        mixers = attentions(config)
        return stack(mixers, [dense_mlp(config)] * len(mixers))
    return dense_layers(config, all_layers)


def _exaone4(config: ModelConfig) -> tuple[Layer, ...]:
    return dense_layers(config, lettered_windows)


def lettered_windows(config: ModelConfig, count: int) -> list[bool]:
    """EXAONE's windows: every n-th layer has none, or letters say which, as ``LLLG``."""
    pattern = config.plain().get("sliding_window_pattern")
    if not isinstance(pattern, str):
        return list(all_but_every(4)(config, count))
    letters = config.text("sliding_window_pattern")
    if not letters or set(letters) - set("LG"):
        config.fail("sliding_window_pattern", f"must be made of L and G, got {letters!r}")
    return [letters[i % len(letters)] == "L" for i in range(count)]


def _smollm3(config: ModelConfig) -> tuple[Layer, ...]:
    return dense_layers(config, _without_rope)


def _without_rope(config: ModelConfig, count: int) -> list[bool]:
    config.ignore("no_rope_layers", "no_rope_layer_interval")
    if not config.flag("use_sliding_window", False):
        window_tokens(config)
        return [False] * count
    return config.fail("use_sliding_window", "windows of this family are not understood")


def _falcon(config: ModelConfig) -> tuple[Layer, ...]:
    """Falcon: one KV head, or several with the new architecture; MLPs without gate, four times as wide."""
    is_new = config.flag("new_decoder_architecture", False)
    is_single = config.flag("multi_query", True) and not is_new
    attention = full_attention(config)
    if is_single:
        attention = replace(attention, num_kv_heads=1)
    mlp = dense_mlp(config, num_matrices=2, default=4 * hidden_size(config))
    config.ignore("num_ln_in_parallel_attn")
    return stack([attention] * (count := count_layers(config)), [mlp] * count)


def _chatglm(config: ModelConfig) -> tuple[Layer, ...]:
    """ChatGLM3 and GLM-4-9B in their own code's words."""
    if not config.flag("multi_query_attention", False):
        config.fail("multi_query_attention", "only true is understood for models of this family")
    config.ignore("padded_vocab_size", "attention_softmax_in_fp32", "num_attention_heads", "pre_seq_len")
    return dense_layers(config)


def _gpt(config: ModelConfig) -> tuple[Layer, ...]:
    """GPT-2, GPT-NeoX and OPT: as many KV heads as heads, and MLPs without gate, four times as wide."""
    if config.size("word_embed_proj_dim", default=hidden_size(config)) != hidden_size(config):
        config.fail("word_embed_proj_dim", f"only as wide as the layers ({hidden_size(config)}) is understood")
    config.ignore("n_ctx")
    mlp = dense_mlp(config, num_matrices=2, default=4 * hidden_size(config))
    return stack([full_attention(config)] * (count := count_layers(config)), [mlp] * count)


def _hunyuan(config: ModelConfig) -> tuple[Layer, ...]:
    if config.flag("use_cla", False):
        config.fail("use_cla", "layers that share their caches are not understood for dense models")
    config.ignore("cla_share_factor", "num_experts", "moe_topk", "num_shared_expert", "use_mixed_mlp_moe", "org_vocab_size")
    return dense_layers(config)


def _cohere2(config: ModelConfig) -> tuple[Layer, ...]:
    config.ignore("order_of_interleaved_layers", "layer_switch", "rotary_pct")
    return dense_layers(config, all_but_every(4))


def _with(windowed: Windowed | None = None, num_matrices: int = 3, **defaults: object) -> Family:
    """A family whose layers are all alike but for windows."""
    return Family(partial(dense_layers, windowed=windowed, num_matrices=num_matrices), defaults)


_SIZES_7B = {"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
_LLAMA = _with(**_SIZES_7B, intermediate_size=11008)
_QWEN_VL = {
    "vocab_size": 152064,
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "max_window_layers": 80,
    "max_position_embeddings": 32768,
}
_MISTRAL_DEFAULTS = {**_SIZES_7B, "intermediate_size": 14336, "num_key_value_heads": 8}
_QWEN2 = _with(
    from_max_window_layers,
    **{**_SIZES_7B, "vocab_size": 151936, "intermediate_size": 22016, "num_key_value_heads": 32, "max_window_layers": 28},
)
_QWEN3 = _with(from_max_window_layers, **{**_QWEN2.defaults, "head_dim": 128})
_GLM4 = _with(
    **{**_SIZES_7B, "vocab_size": 151552, "intermediate_size": 13696, "num_hidden_layers": 40},
    num_key_value_heads=2,
    head_dim=128,
)
_ERNIE = _with(**TIED, head_dim=128)


def _windows_of_olmo3(config: ModelConfig, count: int) -> list[bool]:
    return [(i + 1) % 4 != 0 for i in range(count)]


DENSE: dict[str, Family] = {
    "llama": _LLAMA,
    "aquila": _LLAMA,
    "llava": _LLAMA,
    "llava_next": _LLAMA,
    "mistral": Family(_mistral, _MISTRAL_DEFAULTS),
    "mistral3": Family(
        _mistral,
        {**_MISTRAL_DEFAULTS, "head_dim": 128, "hidden_size": 5120, "intermediate_size": 32768, "vocab_size": 131072},
    ),
    "ministral": Family(_mistral, _MISTRAL_DEFAULTS),
    "ministral3": _with(
        all_layers, **{**_MISTRAL_DEFAULTS, "head_dim": 128, "num_hidden_layers": 34, "vocab_size": 131072}
    ),
    "qwen2": _QWEN2,
    "qwen3": _QWEN3,
    "internvl": _QWEN2,
    "qwen2_vl": _with(from_max_window_layers, **_QWEN_VL),
    "qwen2_vl_text": _with(from_max_window_layers, **_QWEN_VL),
    "qwen2_5_vl": _with(from_max_window_layers, **_QWEN_VL),
    "qwen2_5_vl_text": _with(from_max_window_layers, **_QWEN_VL),
    "qwen3_vl": _with(**_QWEN3.defaults),
    "qwen3_vl_text": _with(**_QWEN3.defaults),
    "mimo": _QWEN2,
    "phi": _with(num_matrices=2),
    "phi3": _with(all_layers, vocab_size=32064),
    "cohere": _with(**TIED),
    "cohere2": Family(_cohere2, {**TIED, "sliding_window": 4096}),
    "granite": _LLAMA,
    "falcon": Family(_falcon, TIED),
    "nemotron": _with(num_matrices=2),
    "stablelm": _LLAMA,
    "starcoder2": _with(all_layers, 2, **TIED, num_key_value_heads=2),
    "internlm2": _LLAMA,
    "internlm3": _with(num_key_value_heads=2, head_dim=128),
    "baichuan": _LLAMA,
    "chatglm": Family(_chatglm),
    "glm": _GLM4,
    "glm4": _GLM4,
    "glm4v": _GLM4,
    "glm4v_text": _GLM4,
    "seed_oss": _with(num_key_value_heads=8, head_dim=128),
    "exaone": _LLAMA,
    "exaone4": Family(_exaone4, {"sliding_window": 4096}),
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": _with(_windows_of_olmo3, sliding_window=4096),
    "smollm3": Family(_smollm3, {**TIED, "num_key_value_heads": 4}),
    "apertus": _with(num_matrices=2),
    "arcee": _with(num_matrices=2),
    "hunyuan_v1_dense": Family(_hunyuan),
    "ernie4_5": _ERNIE,
    "helium": _with(head_dim=128),
    "gpt2": Family(_gpt, TIED),
    "gpt_neox": Family(_gpt),
    "opt": Family(_gpt, TIED),
}


def assumed_dense(config: ModelConfig) -> tuple[Layer, ...]:
    """What is read of a model of an unknown family if it is to be taken for a plain dense transformer."""
    mixer = full_attention(config)
    reach = reaches(config, count_layers(config), all_layers)
    return stack([with_reach(mixer, each) for each in reach], [dense_mlp(config)] * len(reach))
