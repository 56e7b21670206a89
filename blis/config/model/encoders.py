"""Weights of the encoders of images and sound beside a language model.

Only their memory counts, so the matrices of their layers, patches and positions, and of the way into the language
model, are enough; they come within a few per cent of the published figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blis.config.model.keys import is_encoder, is_of_sound
from blis.config.model.strict import ModelConfig, ratio
from blis.files.decode import Section


@dataclass(frozen=True)
class _Kind:
    """An encoder of images.

    Attributes:
        defaults: d, layers, width of the MLPs and size of a patch where the configuration leaves them out.
        num_matrices: of an MLP.
        merged: how many of its vectors the way into the language model takes at once.
        way: weights of that way, of a vector of that size and the language model's.
        mlp_key: what the width of an MLP is called.
    """

    defaults: tuple[int, int, int, int]
    num_matrices: int
    merged: int
    way: Callable[[int, int], int]
    mlp_key: str = "intermediate_size"


def _two_layers(inner: int, out: int) -> int:
    return inner * out + out * out


def _merger(inner: int, out: int) -> int:
    return inner * inner + inner * out


_SIGLIP = _Kind((1152, 27, 4304, 14), 2, 1, lambda inner, out: inner * out)
_PIXTRAL = _Kind((1024, 24, 4096, 16), 3, 1, lambda inner, out: 4 * inner * inner + inner * out + out * out)
_QWEN25_VL = _Kind((1280, 32, 3420, 14), 3, 4, _merger)
_QWEN3_VL = _Kind((1152, 27, 4304, 16), 2, 4, _merger)
_KINDS = {
    "siglip_vision_model": _SIGLIP,
    "siglip2_vision_model": _SIGLIP,
    "pixtral": _PIXTRAL,
    "clip_vision_model": _Kind((1024, 24, 4096, 14), 2, 1, _two_layers),
    "qwen2_vl": _Kind((1280, 32, 5120, 14), 2, 4, _merger),
    "qwen2_5_vl": _QWEN25_VL,
    "qwen2_5_omni_vision_encoder": _QWEN25_VL,
    "qwen3_omni_moe_vision_encoder": _QWEN3_VL,
    **dict.fromkeys(("idefics3", "smolvlm"), _SIGLIP),
    "qwen3_vl": _QWEN3_VL,
    "qwen3_vl_moe": _QWEN3_VL,
    "qwen3_5": _QWEN3_VL,
    "qwen3_5_moe": _QWEN3_VL,
    "llama4_vision_model": _Kind(
        (1408, 34, 5632, 14), 2, 4, lambda inner, out: inner * 4096 + 4096 * 4096 + 4096 * out
    ),
    "kimi_k25": _Kind((1152, 27, 4304, 14), 2, 4, _merger),
    "moonvit": _Kind((1152, 27, 4304, 14), 2, 4, _merger),
    "internvl_vision": _Kind((1024, 24, 4096, 14), 2, 4, _two_layers),
    "intern_vit_6b": _Kind((3200, 45, 12800, 14), 2, 4, _two_layers),
    "radio": _Kind((1280, 32, 5120, 16), 2, 4, lambda inner, out: 4 * inner * (inner + out)),
    "gemma4_vision": _Kind((1152, 27, 4304, 16), 3, 1, lambda inner, out: inner * out),
    "glm4v": _Kind(
        (1536, 24, 4096, 14), 3, 1, lambda inner, out: 4 * inner * out + out * out + 3 * out * 13696, "out_hidden_size"
    ),
}
#: Encoders that no sizes describe, by their published weights.
_PUBLISHED = {"gemma3n_vision": 300_000_000, "gemma3n_audio": 680_000_000, "gemma4_audio": 305_000_000}
#: What a configuration without a type of its own has, by the whole model's.
_BY_MODEL = {
    "NemotronH_Nano_VL_V2": "radio",
    "mistral3": "pixtral",
    "llava": "clip_vision_model",
    "gemma3": "siglip_vision_model",
    "glm4v": "glm4v",
}

#: Encoders of sound that are built like Whisper's (arXiv:2212.04356).
_LIKE_WHISPER = ("qwen2_audio_encoder", "qwen2_5_omni_audio_encoder", "qwen3_omni_moe_audio_encoder", "voxtral_encoder")

_WIDTH = ("embed_dim", "hidden_size", "vt_hidden_size", "width")
_SOUND_WIDTH, _SOUND_LAYERS = ("d_model", "hidden_size"), ("encoder_layers", "num_hidden_layers")
_LAYERS = ("depth", "num_hidden_layers", "vt_num_hidden_layers", "layers")


def encoder_parameters(config: ModelConfig, model_type: str, hidden_size: int) -> int:
    """Weights of all encoders of a configuration.

    Args:
        config: the configuration, which notes what is not known for sure.
        model_type: of the whole model.
        hidden_size: of its language model.
    """
    total = 0
    for key in config.names():
        if is_encoder(key) and config.holds_mapping(key):
            total += _parameters(config, config.section(key), key, model_type, hidden_size)
    return total + _aligning_parameters(config, hidden_size)


def _parameters(config: ModelConfig, part: Section, key: str, model_type: str, hidden_size: int) -> int:
    name = part.text("model_type", "") or _BY_MODEL.get(model_type, model_type)
    if name in _PUBLISHED:
        return _PUBLISHED[name]
    kind = _KINDS.get(name) or _KINDS.get(name.removesuffix("_vision").removesuffix("_moe"))
    if kind is None:
        is_sound = is_of_sound(key)
        can_be_estimated = _is_sized(part, *((_SOUND_WIDTH, _SOUND_LAYERS) if is_sound else (_WIDTH, _LAYERS)))
        if name not in _LIKE_WHISPER:
            what = "are an estimate" if can_be_estimated else "are not counted"
            config.doubt(f"{key}: encoders of type {name!r} are not known; their weights {what}")
        if is_sound:
            return _sound_parameters(part, hidden_size) if can_be_estimated or name in _LIKE_WHISPER else 0
        return _vision_parameters(part, _SIGLIP, hidden_size) if can_be_estimated else 0
    return _vision_parameters(part, kind, hidden_size)


def _is_sized(part: Section, *all_keys: tuple[str, ...]) -> bool:
    return all(any(part.has(key) for key in keys) for keys in all_keys)


def _sound_parameters(part: Section, hidden_size: int) -> int:
    """Of Whisper's encoder: layers, two convolutions of three steps, and the way into the language model."""
    d = _first(part, _SOUND_WIDTH, 1280)
    layer = 4 * d * d + 2 * d * _first(part, ("encoder_ffn_dim", "intermediate_size"), 4 * d)
    convolutions = 3 * d * (part.integer("num_mel_bins", 128) + d)
    return _first(part, _SOUND_LAYERS, 32) * layer + convolutions + d * hidden_size


def _aligning_parameters(config: ModelConfig, hidden_size: int) -> int:
    """Of Cohere's way into the language model: a gated MLP that takes several vectors at once."""
    if not config.has("alignment_intermediate_size") or not config.holds_mapping("vision_config"):
        return 0
    width, merged = config.size("alignment_intermediate_size"), config.size("downsample_factor", default=2) ** 2
    inner = _first(config.section("vision_config"), _WIDTH, _SIGLIP.defaults[0])
    return merged * inner * width + width // 2 * hidden_size


def _vision_parameters(part: Section, kind: _Kind, hidden_size: int) -> int:
    width, layers, mlp, patch = kind.defaults
    d = _first(part, _WIDTH, width)
    keys = (kind.mlp_key, "vt_intermediate_size")
    if part.has("mlp_ratio") and not any(part.has(key) for key in keys):
        mlp = int(ratio(part, "mlp_ratio") * d)
    layer = 4 * d * d + kind.num_matrices * d * _first(part, keys, mlp)
    patches = 3 * _patch(part, patch) ** 2 * part.integer("temporal_patch_size", 1) * d
    positions = part.integer("num_position_embeddings", 0) * d
    ways = 1 + (len(part.entries("deepstack_visual_indexes")) if part.plain().get("deepstack_visual_indexes") else 0)
    return _first(part, _LAYERS, layers) * layer + patches + positions + ways * kind.way(kind.merged * d, hidden_size)


def _first(part: Section, keys: tuple[str, ...], default: int) -> int:
    return next((part.integer(key, least=1) for key in keys if part.has(key)), default)


def _patch(part: Section, default: int) -> int:
    if part.holds_list("patch_size"):
        return int(part.numbers("patch_size", least_count=1, most_count=2)[0])
    return part.integer("patch_size", default, least=1)
