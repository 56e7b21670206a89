"""What the roofline law knows of a model, a GPU and their number: its array of parameters.

Everything that does not depend on the batch is multiplied out here, once. The symbols are those of docs/roofline.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blis.config.hardware import Gpu
from blis.config.model.layers import Attention, Experts, LatentAttention, StateMixer
from blis.config.model.model import Model
from blis.config.quantization import BYTES_8BIT, BYTES_16BIT, BYTES_MXFP4
from blis.config.versions import HostProfileName
from blis.errors import CombinationError

#: b: bytes per element of activations.
ACTIVATION_BYTES = 2
#: Launch gaps between kernels: per mixer and per MLP, which are a layer together, and per MoE layer.
GAP_US_PER_HALF_LAYER = 15.0
GAP_US_PER_MOE_LAYER = 35.0
#: Mean bytes per weight of a part below which most of it has 8 bit or fewer.
_BYTES_MOSTLY_NARROW = (BYTES_8BIT + BYTES_16BIT) / 2
#: Queries per streaming multiprocessor below which prefill attention cannot fill the GPU.
QUERIES_PER_SM = 64
#: Query heads per KV head from which on a step that also prefills slows decode attention in full.
HEADS_OF_FULL_PENALTY = 8

# Positions in the array of parameters. All costs are in µs.
(
    ATTENTION_WEIGHTS_PER_TOKEN,  # compute time of the projections of attention and other mixers, per token
    ATTENTION_WEIGHTS,  # memory time of the same
    MLP_PER_TOKEN,
    MLP,
    ROUTER_PER_TOKEN,  # and of what else is always of 16 bit
    ROUTER,
    ELEMENTWISE_PER_TOKEN,
    EXPERTS_PER_TOKEN,  # compute time of the routed experts
    ONE_EXPERT,  # memory time of one expert in every MoE layer
    NUM_EXPERTS,
    SHARE_OF_EXPERTS_MISSED,  # (1 − k/N)^D: chance that one token of each rank leaves an expert alone
    HEAD_PER_REQUEST,
    HEAD,
    EXTRA_CONTEXT_TOKENS,  # x0
    COMM,
    COMM_PER_TOKEN,
    COMM_PER_REQUEST,
    GAPS,
    HOST,
    HOST_PER_REQUEST,
    PREFILL_LAUNCH,
    DECODE_LAUNCH,
    IS_MIXED,  # 1 if there are states or several kinds of attention, else 0
    STATE_PER_REQUEST,  # memory time of reading and writing one request's states
    SCAN_PER_TOKEN,  # compute time of the scans of states, per prefilled token
    NUM_FURTHER_KINDS,  # kinds of attention behind the first
    # the first kind of attention; the others follow in the same way, each NUM_OF_KIND positions on
    FULL_LAYERS,
    WINDOWED_LAYERS,
    WINDOW_TOKENS,
    KV_PER_TOKEN,  # memory time of what one layer caches of one token
    DECODE_PER_PAIR,  # compute time of one query-key pair in one layer
    PREFILL_PER_PAIR,
    LEAST_QUERIES,  # n0
    MIXED_STEP_PENALTY,  # π
    NUM_PARAMETERS,
) = range(35)
NUM_OF_KIND = NUM_PARAMETERS - FULL_LAYERS
_TIMES_OF_KIND = (KV_PER_TOKEN, DECODE_PER_PAIR, PREFILL_PER_PAIR)
_TIMES = (
    *sorted(set(range(EXTRA_CONTEXT_TOKENS)) - {NUM_EXPERTS, SHARE_OF_EXPERTS_MISSED}),
    *range(COMM, IS_MIXED),
    STATE_PER_REQUEST,
    SCAN_PER_TOKEN,
)


def times_of(parameters: NDArray[np.float64]) -> tuple[int, ...]:
    """Positions of times, to all of which together the length of a step is proportional; the others are counts."""
    kinds = range(1 + int(parameters[NUM_FURTHER_KINDS]))
    return (*_TIMES, *(at + kind * NUM_OF_KIND for kind in kinds for at in _TIMES_OF_KIND))


def parameters_of(
    model: Model, gpu: Gpu, tp: int, ranks: int, host_profile: HostProfileName, kv_element_bytes: int
) -> NDArray[np.float64]:
    """The law's parameters; arguments as of `blis.latency.roofline.roofline_model`."""
    kinds = _kinds_of_attention(model, gpu, tp, kv_element_bytes)
    parameters = np.zeros(NUM_PARAMETERS + max(0, len(kinds) - 1) * NUM_OF_KIND)
    parameters[FULL_LAYERS : FULL_LAYERS + len(kinds) * NUM_OF_KIND] = np.ravel(kinds)
    parameters[NUM_FURTHER_KINDS] = max(0, len(kinds) - 1)
    parameters[EXTRA_CONTEXT_TOKENS] = gpu.prefill_extra_context_tokens
    parameters[IS_MIXED] = len(kinds) > 1 or bool(model.states)
    _set_matrices(parameters, model, gpu, tp)
    _set_experts(parameters, model, gpu, tp, ranks)
    _set_states(parameters, model, gpu, tp)
    _set_all_reduces(parameters, model, gpu, tp, ranks)
    _set_exchange_between_ranks(parameters, model, gpu, tp, ranks)
    _set_host(parameters, model, gpu, host_profile)
    return parameters


def _set_host(parameters: NDArray[np.float64], model: Model, gpu: Gpu, host_profile: HostProfileName) -> None:
    profile = gpu.host_profiles[host_profile]
    num_layers = model.num_half_layers / 2
    parameters[GAPS] = GAP_US_PER_HALF_LAYER * model.num_half_layers + GAP_US_PER_MOE_LAYER * len(model.moe_layers)
    parameters[HOST] = gpu.host_factor * profile.step_us
    parameters[HOST_PER_REQUEST] = profile.per_request_us
    parameters[PREFILL_LAUNCH] = gpu.host_factor * profile.prefill_launch_us_per_layer * num_layers
    parameters[DECODE_LAUNCH] = gpu.host_factor * profile.decode_launch_us_per_layer * num_layers


def _set_matrices(parameters: NDArray[np.float64], model: Model, gpu: Gpu, tp: int) -> None:
    """Matrix products: 2 FLOPs per weight and token against one reading of the weights."""
    quantization = model.quantization
    streaming = gpu.memory_bandwidth_gb_per_s * 1e3 * gpu.efficiency.weight_streaming  # bytes per µs
    for per_token, once, weights, weight_bytes in (
        (ATTENTION_WEIGHTS_PER_TOKEN, ATTENTION_WEIGHTS, model.mixer_parameters, quantization.attention_bytes),
        (MLP_PER_TOKEN, MLP, model.mlp_parameters, quantization.mlp_bytes),
        (ROUTER_PER_TOKEN, ROUTER, model.router_parameters + model.other_parameters, BYTES_16BIT),
        (HEAD_PER_REQUEST, HEAD, model.vocabulary_parameters, BYTES_16BIT),
    ):
        rate = _flops_per_us(model, gpu, weight_bytes, gpu.efficiency.linear_16bit, gpu.efficiency.linear_8bit)
        parameters[per_token] = weights / tp * 2 / rate
        parameters[once] = weights / tp * weight_bytes / streaming
    parameters[ELEMENTWISE_PER_TOKEN] = ACTIVATION_BYTES * _elements_per_token(model, tp) / streaming


def _elements_per_token(model: Model, tp: int) -> float:
    """Activations that one token moves on each GPU besides matrix products.

    Ranks change nothing here: each GPU has 1/(D·t) of the experts' work for the tokens of D ranks.
    """
    residuals = 2 * model.hidden_size * model.num_half_layers
    mixers = sum(count * mixer.activations(model.hidden_size, tp) for mixer, count in model.mixer_counts.items())
    dense = sum(mlp.num_matrices * mlp.width for mlp in model.dense_mlps)
    moe = sum(
        each.num_matrices * (each.shared_width + each.experts_per_token * each.expert_width)
        for each in model.moe_layers
    )
    outputs = sum(each.experts_per_token * (each.latent_size or model.hidden_size) for each in model.moe_layers)
    return residuals + mixers + (dense + moe) / 2 / tp + outputs


def _set_experts(parameters: NDArray[np.float64], model: Model, gpu: Gpu, tp: int, ranks: int) -> None:
    """Routed experts: k of them multiply each token; those that any token of any rank wants are read once.

    Spread over D·t GPUs they are as much work per GPU as without ranks, D·T tokens on 1/D of the experts, but
    more of them are wanted and each GPU reads fewer.
    """
    if not model.is_moe:
        return
    experts = _alike(model.moe_layers)
    weight_bytes = model.quantization.expert_bytes
    rate = _flops_per_us(model, gpu, weight_bytes, gpu.efficiency.experts_16bit, gpu.efficiency.experts_8bit)
    streaming = gpu.memory_bandwidth_gb_per_s * 1e3 * gpu.efficiency.expert_streaming
    expert = sum(each.one_expert_parameters(model.hidden_size) for each in model.moe_layers) / tp
    parameters[EXPERTS_PER_TOKEN] = expert * 2 * experts.experts_per_token / rate
    parameters[ONE_EXPERT] = expert / ranks * weight_bytes / streaming
    parameters[NUM_EXPERTS] = experts.num_experts
    parameters[SHARE_OF_EXPERTS_MISSED] = (1 - experts.experts_per_token / experts.num_experts) ** ranks


def _alike(layers: tuple[Experts, ...]) -> Experts:
    """The first of layers that all route each token to as many of as many experts; they may differ in width."""
    routings = {(each.num_experts, each.experts_per_token) for each in layers}
    if len(routings) > 1:
        found = ", ".join(f"{chosen} of {experts}" for experts, chosen in sorted(routings))
        raise CombinationError(f"model: layers must route tokens to equally many of equally many experts, got {found}")
    return layers[0]


def _flops_per_us(
    model: Model, gpu: Gpu, weight_bytes: float, efficiency_16bit: float, efficiency_8bit: float
) -> float:
    """Narrow arithmetic needs weights and activations that are as narrow and a GPU that has the type.

    Of 4 bits it reaches the same share of its peak as of 8. Weights of 8 bit beside such of 4 are FP8. Weights of
    MXFP4 meet activations of 8 bit on GPUs that multiply scaled blocks. A part that is exempted in a few layers is
    taken for what most of it is.
    """
    kind = model.quantization.activation_type
    if kind is None and weight_bytes == BYTES_MXFP4 and gpu.peak_fp4_tflops is not None:
        kind = "fp8"
    if kind == "fp4" and weight_bytes >= BYTES_8BIT:
        kind = "fp8"
    peak = gpu.peak_of(kind) if kind is not None and weight_bytes < _BYTES_MOSTLY_NARROW else None
    return gpu.peak_16bit_tflops * 1e6 * efficiency_16bit if peak is None else peak * 1e6 * efficiency_8bit


@dataclass(frozen=True)
class _Attention:
    """What attention of one shape costs on each GPU.

    Attributes:
        heads: query heads.
        bytes_per_token: read of each token looked at.
        decode_flops: of one head, per query-key pair.
        prefill_flops: the same when prefilling.
        heads_per_kv_head: query heads that share a key.
        is_8bit: whether these are of 8 bit, where the GPU has the type.
    """

    heads: float
    bytes_per_token: int
    decode_flops: int
    prefill_flops: int
    heads_per_kv_head: float
    is_8bit: bool = False


def _kinds_of_attention(model: Model, gpu: Gpu, tp: int, kv_element_bytes: int) -> list[tuple[float, ...]]:
    """The parameters from FULL_LAYERS on of each kind: one shape, at most one window beside layers without any."""
    layers: Counter[tuple[_Attention, int]] = Counter()
    for mixer, count in model.mixer_counts.items():
        if isinstance(mixer, StateMixer):
            continue
        layers[_shape(mixer, tp, kv_element_bytes), mixer.reach_tokens] += count
        indexer = mixer.indexer if isinstance(mixer, LatentAttention) else None
        if indexer is not None and not indexer.is_shared:
            flops = 2 * indexer.head_dim  # its heads and keys are on every GPU
            shape = _Attention(indexer.num_heads, indexer.token_bytes, flops, flops, indexer.num_heads, is_8bit=True)
            layers[shape, 0] += count
    kinds = []
    for shape in dict.fromkeys(shape for shape, _ in layers):
        first, *others = [window for of, window in layers if of == shape and window] or [0]
        costs = _costs(shape, gpu)
        kinds.append((layers[shape, 0], layers[shape, first] if first else 0, first, *costs))
        kinds += [(0, layers[shape, window], window, *costs) for window in others]
    return kinds


def _shape(mixer: Attention | LatentAttention, tp: int, kv_element_bytes: int) -> _Attention:
    return _Attention(
        mixer.num_heads / tp,
        mixer.bytes_read(tp, kv_element_bytes),
        mixer.decode_flops_per_pair,
        mixer.prefill_flops_per_pair,
        mixer.num_heads / (mixer.num_kv_heads if isinstance(mixer, Attention) else 1),
    )


def _costs(shape: _Attention, gpu: Gpu) -> tuple[float, ...]:
    """The parameters from KV_PER_TOKEN on: one reading of the cache against the FLOPs of all query-key pairs."""
    bytes_per_us = gpu.memory_bandwidth_gb_per_s * 1e3 * gpu.efficiency.decode_attention
    peak = gpu.peak_of("fp8") if shape.is_8bit else None
    peak = gpu.peak_16bit_tflops if peak is None else peak
    flops_per_us = peak * 1e6 * gpu.efficiency.prefill_attention
    shared = min(1.0, (shape.heads_per_kv_head - 1) / (HEADS_OF_FULL_PENALTY - 1))
    return (
        shape.bytes_per_token / bytes_per_us,
        shape.heads * shape.decode_flops / flops_per_us,
        shape.heads * shape.prefill_flops / flops_per_us,
        QUERIES_PER_SM * gpu.num_sms / shape.heads,
        gpu.mixed_step_penalty * shared,
    )


def _set_states(parameters: NDArray[np.float64], model: Model, gpu: Gpu, tp: int) -> None:
    """States: one reading and one writing per request and step; scans as fast as prefill attention."""
    state_bytes = model.state_bytes_per_request(tp)
    flops = sum(state.scan_flops_per_token for state in model.states) / tp
    bytes_per_us = gpu.memory_bandwidth_gb_per_s * 1e3 * gpu.efficiency.decode_attention
    parameters[STATE_PER_REQUEST] = 2 * state_bytes / bytes_per_us
    parameters[SCAN_PER_TOKEN] = flops / (gpu.peak_16bit_tflops * 1e6 * gpu.efficiency.prefill_attention)


def _set_all_reduces(parameters: NDArray[np.float64], model: Model, gpu: Gpu, tp: int, ranks: int) -> None:
    """One all-reduce per mixer and MLP among a rank's GPUs, and one gathering of logits.

    With several ranks the exchange between them takes the place of an MoE layer's all-reduce behind the experts.
    """
    if tp == 1:
        return
    all_reduces = model.num_half_layers if ranks == 1 else model.num_half_layers - len(model.moe_layers)
    cost = gpu.all_reduce[tp]
    bytes_per_us = cost.rate_gb_per_s * 1e3
    share = (tp - 1) / tp
    hidden_bytes = model.hidden_size * ACTIVATION_BYTES
    parameters[COMM] = (all_reduces + 1) * cost.latency_us
    parameters[COMM_PER_TOKEN] = all_reduces * 2 * share * hidden_bytes / bytes_per_us
    parameters[COMM_PER_REQUEST] = share * model.vocab_size * ACTIVATION_BYTES / bytes_per_us


def _set_exchange_between_ranks(parameters: NDArray[np.float64], model: Model, gpu: Gpu, tp: int, ranks: int) -> None:
    """Per MoE layer an all-gather before the experts and a reduce-scatter behind them, vLLM's default."""
    if ranks == 1:
        return
    cost, num_layers = gpu.all_reduce[tp * ranks], len(model.moe_layers)
    hidden_bytes = model.hidden_size * ACTIVATION_BYTES
    parameters[COMM] += num_layers * 2 * cost.latency_us
    parameters[COMM_PER_TOKEN] += num_layers * 2 * (ranks - 1) * hidden_bytes / (cost.rate_gb_per_s * 1e3)
