"""Dense transformers: all layers have attention with KV heads and one MLP."""

from __future__ import annotations

from collections.abc import Mapping
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
    reaches,
    stack,
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
        return [False] * count
    return config.fail("use_sliding_window", "windows of this family are not understood")


def _chatglm(config: ModelConfig) -> tuple[Layer, ...]:
    """ChatGLM3 and GLM-4-9B in their own code's words."""
    if not config.flag("multi_query_attention", False):
        config.fail("multi_query_attention", "only true is understood for models of this family")
    config.ignore("pre_seq_len", "prefix_projection")
    return dense_layers(config)


def _hunyuan(config: ModelConfig) -> tuple[Layer, ...]:
    if config.flag("use_cla", False):
        config.fail("use_cla", "layers that share their caches are not understood for dense models")
    config.ignore("cla_share_factor")
    return dense_layers(config)


def _minicpm(config: ModelConfig) -> tuple[Layer, ...]:
    config.ignore("dim_model_base")
    if config.size("num_experts", default=0, least=0):
        config.fail("num_experts", "experts are not understood for models of this family")
    return dense_layers(config)


def all_but_first_of_four(config: ModelConfig, count: int) -> list[bool]:
    """A window in all layers but every fourth, from the first on."""
    return [i % 4 != 0 for i in range(count)]


def _cohere2(config: ModelConfig) -> tuple[Layer, ...]:
    config.ignore("order_of_interleaved_layers", "layer_switch", "use_embedding_sharing")
    return dense_layers(config, all_but_every(4))


def _with(defaults: Mapping[str, object], windowed: Windowed | None = None, num_matrices: int = 3) -> Family:
    """A family whose layers are all alike but for windows."""
    return Family(partial(dense_layers, windowed=windowed, num_matrices=num_matrices), defaults)


_SIZES_7B = {"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
_LLAMA_SIZES = {**_SIZES_7B, "intermediate_size": 11008, "max_position_embeddings": 2048}
_LLAMA = _with(_LLAMA_SIZES)
_MISTRAL = {
    **_SIZES_7B,
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
_MISTRAL3 = {"head_dim": 128, "hidden_size": 5120, "intermediate_size": 32768, "vocab_size": 131072}
_MINISTRAL3 = {**_MISTRAL, "head_dim": 128, "num_hidden_layers": 34, "vocab_size": 131072}
_QWEN = {
    **_SIZES_7B,
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "max_window_layers": 28,
    "sliding_window": 4096,
    "max_position_embeddings": 32768,
}
_QWEN2 = _with(_QWEN, from_max_window_layers)
_QWEN3_SIZES = {**_QWEN, "head_dim": 128}
_QWEN2_VL = _with(
    {
        "vocab_size": 152064,
        "hidden_size": 8192,
        "intermediate_size": 29568,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "max_window_layers": 80,
        "sliding_window": 4096,
        "max_position_embeddings": 32768,
    },
    from_max_window_layers,
)
_QWEN3_VL = _with({**_QWEN3_SIZES, "max_position_embeddings": 128000})
_QWEN2_OMNI = {
    **_QWEN,
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
_GLM4 = _with(
    {
        **_SIZES_7B,
        "vocab_size": 151552,
        "intermediate_size": 13696,
        "num_hidden_layers": 40,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "max_position_embeddings": 32768,
    }
)
_ERNIE = {**TIED, "head_dim": 128, "num_key_value_heads": 2}


def _windows_of_olmo3(config: ModelConfig, count: int) -> list[bool]:
    return [(i + 1) % 4 != 0 for i in range(count)]


DENSE: dict[str, Family] = {
    **dict.fromkeys(("llama", "aquila", "llava", "llava_next", "baichuan", "internlm2"), _LLAMA),
    **dict.fromkeys(("granite", "stablelm", "olmo", "olmo2"), _LLAMA),
    "mistral": Family(_mistral, _MISTRAL),
    "mistral3": Family(_mistral, {**_MISTRAL, **_MISTRAL3}),
    "ministral": Family(_mistral, _MISTRAL),
    "ministral3": _with(_MINISTRAL3, all_layers),
    **dict.fromkeys(("qwen2", "internvl", "internvl_chat", "mimo"), _QWEN2),
    "qwen2_5_omni_text": _with(_QWEN2_OMNI, from_max_window_layers),
    "qwen3": _with(_QWEN3_SIZES, from_max_window_layers),
    **dict.fromkeys(("qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"), _QWEN2_VL),
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_text"), _QWEN3_VL),
    "phi": _with({}, num_matrices=2),
    "phi3": _with({"vocab_size": 32064}, all_layers),
    "cwm": _with({"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 8192}, all_but_first_of_four),
    "granite_swa": _with({**TIED, "num_key_value_heads": 4, "sliding_window": 128}, all_but_first_of_four),
    **dict.fromkeys(("hyperclovax", "orion", "xverse"), _LLAMA),
    **dict.fromkeys(("exaone", "iquestcoder"), _with({"num_key_value_heads": 8})),
    "minicpm": Family(_minicpm, TIED),
    **dict.fromkeys(("minicpmv", "minicpmo"), _QWEN2),
    **dict.fromkeys(("jais2", "nanochat", "persimmon"), _with({}, num_matrices=2)),
    "cohere": _with(TIED),
    "cohere2": Family(_cohere2, {**TIED, "sliding_window": 4096}),
    "nemotron": _with({}, num_matrices=2),
    "starcoder2": _with({**TIED, "num_key_value_heads": 2}, all_layers, num_matrices=2),
    "internlm3": _with({"num_key_value_heads": 2, "head_dim": 128}),
    "chatglm": Family(_chatglm),
    **dict.fromkeys(("glm", "glm4", "glm4v", "glm4v_text"), _GLM4),
    "seed_oss": _with({"num_key_value_heads": 8, "head_dim": 128}),
    "exaone4": Family(_exaone4, {"sliding_window": 4096}),
    "olmo3": _with({"sliding_window": 4096}, _windows_of_olmo3),
    "smollm3": Family(_smollm3, {**TIED, "num_key_value_heads": 4}),
    "solar": _with({}, all_layers),
    **dict.fromkeys(("apertus", "arcee"), _with({}, num_matrices=2)),
    "hunyuan_v1_dense": Family(_hunyuan),
    **dict.fromkeys(("ernie4_5", "paddleocr_vl", "paddleocr_vl_text"), _with(_ERNIE)),
    "helium": _with({"head_dim": 128}),
}


def assumed_dense(config: ModelConfig) -> tuple[Layer, ...]:
    """What is read of a model of an unknown family if it is to be taken for a plain dense transformer."""
    mixer = full_attention(config)
    reach = reaches(config, count_layers(config), all_layers)
    return stack([with_reach(mixer, each) for each in reach], [dense_mlp(config)] * len(reach))
