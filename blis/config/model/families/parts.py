"""What many families have in common: heads, windows, dense MLPs, and how layers are put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from blis.config.context_length import read_context_length
from blis.config.model.layers import Attention, Experts, Layer, Mixer, Mlp, Reach
from blis.config.model.strict import ModelConfig

#: Says of each layer whether it has a window, where the configuration does not list the layers' types.
Windowed = Callable[[ModelConfig, int], Sequence[bool]]

FULL_TYPES = ("full_attention", "attention", "full", "global_attention")
WINDOW_TYPES = ("sliding_attention", "sliding_window", "sliding_window_attention", "local_attention")
CHUNK_TYPES = ("chunked_attention",)
#: No model comes near, and each layer is held in memory.
_MOST_LAYERS = 10_000
_WINDOW_KEYS = ("sliding_window", "sliding_window_size", "window_size")


def count_layers(config: ModelConfig) -> int:
    """L."""
    keys = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")
    count = config.size(*keys)
    if count > _MOST_LAYERS:
        config.fail(next(key for key in keys if config.has(key)), f"must be <= {_MOST_LAYERS}, got {count}")
    return count


def hidden_size(config: ModelConfig) -> int:
    """The width d of the residual stream."""
    return config.size("hidden_size", "d_model", "n_embd", "n_embed")


def full_attention(config: ModelConfig) -> Attention:
    """Attention to all tokens, with the sizes that most layers have."""
    heads = config.size("num_attention_heads", "n_heads", "n_head")
    split = hidden_size(config) // heads
    said = any(config.has(key) for key in ("head_dim", "attention_head_dim", "kv_channels"))
    if not said and split * heads != hidden_size(config):
        config.fail("head_dim", f"missing, and hidden_size is no multiple of num_attention_heads ({heads})")
    head_dim = config.size("head_dim", "attention_head_dim", "kv_channels", default=split)
    kv_heads = config.size("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", default=heads)
    return Attention(heads, kv_heads, head_dim, head_dim)


def window(config: ModelConfig) -> tuple[Reach, int]:
    """How far a layer with a window looks back: at all tokens if there is no window, or it holds any request."""
    tokens = config.size(*_WINDOW_KEYS) if any(config.has(key) for key in _WINDOW_KEYS) else 0
    config.ignore(*_WINDOW_KEYS)
    longest = read_context_length(config)
    return ("full", 0) if tokens == 0 or (longest is not None and tokens >= longest) else ("window", tokens)


def reaches(config: ModelConfig, count: int, windowed: Windowed | None = None) -> list[tuple[Reach, int]]:
    """How far back each layer looks: by ``layer_types`` if they are listed, else by the rule of the class."""
    types = config.layer_texts("layer_types", count)
    if types:
        if windowed is not None:
            windowed(config, count)  # reads the keys that say the same
        return [_reach(config, i, name) for i, name in enumerate(types)]
    if windowed is None:
        return [("full", 0)] * count
    flags = windowed(config, count)
    if not any(flags):
        config.ignore(*_WINDOW_KEYS)
        return [("full", 0)] * count
    reach = window(config)
    return [reach if flag else ("full", 0) for flag in flags]


def _reach(config: ModelConfig, i: int, name: str) -> tuple[Reach, int]:
    if name in FULL_TYPES:
        config.ignore(*_WINDOW_KEYS, "attention_chunk_size")
        return "full", 0
    if name in WINDOW_TYPES:
        if not any(config.is_given(key) or config.has(key) for key in _WINDOW_KEYS):
            config.fail(_WINDOW_KEYS[0], "missing, though layer_types names layers with a window")
        return window(config)
    if name in CHUNK_TYPES:
        return "chunk", config.size("attention_chunk_size")
    valid = ", ".join((FULL_TYPES[0], WINDOW_TYPES[0], CHUNK_TYPES[0]))
    return config.fail(f"layer_types[{i}]", f"{name!r} is not understood for models of this family; valid: {valid}")


def with_reach(attention: Attention, reach: tuple[Reach, int]) -> Attention:
    """The same heads, looking back so far."""
    return replace(attention, reach=reach[0], reach_tokens=reach[1])


def attentions(config: ModelConfig, windowed: Windowed | None = None) -> list[Attention]:
    """The attention of all layers, where all have the same heads."""
    count = count_layers(config)
    one = full_attention(config)
    return [with_reach(one, reach) for reach in reaches(config, count, windowed)]


def all_layers(config: ModelConfig, count: int) -> list[bool]:
    """A window in all layers, if there is one."""
    return [True] * count


def all_but_every(default: int) -> Windowed:
    """A window in all layers but every n-th; n is ``default`` unless ``sliding_window_pattern`` says otherwise."""

    def windowed(config: ModelConfig, count: int) -> list[bool]:
        period = config.size("sliding_window_pattern", "_sliding_window_pattern", default=default)
        return [(i + 1) % period != 0 for i in range(count)]

    return windowed


def from_max_window_layers(config: ModelConfig, count: int) -> list[bool]:
    """Qwen2's windows: in the layers from ``max_window_layers`` on, if ``use_sliding_window`` says so."""
    if not config.flag("use_sliding_window", False):
        config.ignore(*_WINDOW_KEYS, "max_window_layers")
        return [False] * count
    first = config.integer("max_window_layers", count)
    return [i >= first for i in range(count)]


def without_windows(config: ModelConfig, count: int) -> list[bool]:
    """No windows: Qwen's mixtures have keys for them, which are never used."""
    if config.flag("use_sliding_window", False):
        config.fail("use_sliding_window", "windows are not understood for models of this family")
    config.ignore("sliding_window", "max_window_layers")
    return [False] * count


def dense_mlp(config: ModelConfig, *, num_matrices: int = 3, default: int | None = None) -> Mlp:
    """A dense MLP."""
    return Mlp(config.size("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner", default=default), num_matrices)


def stack(mixers: Sequence[Mixer], mlps: Sequence[Mlp | Experts | None]) -> tuple[Layer, ...]:
    """Layers of one mixer and one MLP each."""
    return tuple(Layer((mixer,), mlp) for mixer, mlp in zip(mixers, mlps, strict=True))


def dense_layers(config: ModelConfig, windowed: Windowed | None = None, num_matrices: int = 3) -> tuple[Layer, ...]:
    """A plain dense transformer."""
    mixers = attentions(config, windowed)
    return stack(mixers, [dense_mlp(config, num_matrices=num_matrices)] * len(mixers))
