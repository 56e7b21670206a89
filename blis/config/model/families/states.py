"""Mixers that keep a state: their weights and the sizes of their states.

Sizes of states are those that vLLM 0.33 keeps; weights are those of the published modules, biases aside.
"""

from __future__ import annotations

from blis.config.model.families.parts import hidden_size
from blis.config.model.layers import StateMixer
from blis.config.model.strict import ModelConfig

_STATE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


def state_bytes(config: ModelConfig, default: int = 2) -> int:
    """Bytes per element of a recurrent state."""
    for key in ("mamba_ssm_cache_dtype", "mamba_ssm_dtype"):
        if config.has(key):
            return _STATE_BYTES[config.text(key, valid=_STATE_BYTES)]
    return default


def mamba1(config: ModelConfig, *, inner: int, state: int, kernel: int, rank: int) -> StateMixer:
    """Mamba (arXiv:2312.00752).

    Args:
        config: the configuration.
        inner: its channels.
        state: elements of the state per channel.
        kernel: tokens of the convolution.
        rank: of the projection of time steps.
    """
    d = hidden_size(config)
    weights = 2 * d * inner + inner * (kernel + rank + 2 * state) + rank * inner + state * inner + inner * d
    return StateMixer("mamba1", weights, kernel - 1, inner, inner * state, state_bytes(config))


def mamba2(
    config: ModelConfig, *, heads: int, head_dim: int, state: int, groups: int, kernel: int, default_bytes: int = 2
) -> StateMixer:
    """Mamba-2 (arXiv:2405.21060).

    Args:
        config: the configuration.
        heads: of the state space.
        head_dim: channels of one.
        state: elements of the state per channel.
        groups: that share B and C.
        kernel: tokens of the convolution.
        default_bytes: per element of the state.
    """
    d, inner = hidden_size(config), heads * head_dim
    channels = inner + 2 * groups * state
    weights = d * (inner + channels + heads) + kernel * channels + inner * d
    return StateMixer(
        *("mamba2", weights, kernel - 1, inner, inner * state, state_bytes(config, default_bytes)),
        num_groups=groups,
        group_channels=2 * state,
    )


def gated_delta_net(config: ModelConfig) -> StateMixer:
    """Gated DeltaNet, as in Qwen3-Next."""
    d, kernel = hidden_size(config), config.size("linear_conv_kernel_dim")
    keys = config.size("linear_num_key_heads") * (key_dim := config.size("linear_key_head_dim"))
    heads = config.size("linear_num_value_heads")
    values = heads * config.size("linear_value_head_dim")
    channels = 2 * keys + values
    weights = d * (channels + values + 2 * heads) + kernel * channels + values * d
    return StateMixer("gdn", weights, kernel - 1, channels, values * key_dim, state_bytes(config))


def kimi_delta_attention(d: int, heads: int, head_dim: int, kernel: int, *, is_full_rank: bool = False) -> StateMixer:
    """Kimi Delta Attention (arXiv:2510.26692); its state has 32 bit.

    Args:
        d: hidden size.
        heads: of it.
        head_dim: of a head.
        kernel: tokens of the convolutions.
        is_full_rank: whether its two gates are projected directly (Ling 3), not by way of a vector as large as a head.
    """
    inner = heads * head_dim
    gates = 2 * (d * inner if is_full_rank else head_dim * (d + inner)) + d * heads
    weights = 4 * d * inner + gates + 3 * kernel * inner
    return StateMixer("kda", weights, kernel - 1, 3 * inner, inner * head_dim, 4)


def lightning_attention(d: int, heads: int, head_dim: int) -> StateMixer:
    """Lightning attention (arXiv:2501.08313): queries, keys, values, a gate and the way back."""
    inner = heads * head_dim
    return StateMixer("lightning", 5 * d * inner, 0, 0, inner * head_dim)


def short_convolution(d: int, kernel: int) -> StateMixer:
    """LFM2's gated convolution: three projections in, one out."""
    return StateMixer("conv", 4 * d * d + kernel * d, kernel - 1, d, 0)
