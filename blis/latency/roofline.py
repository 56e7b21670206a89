"""The analytical model: step time from the model's architecture and the GPU's figures.

Every kernel of a step takes the larger of its compute time and its memory time, each at the peak of the
datasheet times an efficiency; kernels are added; the host's time is added on top. Nothing is fitted per model.
docs/roofline.md derives each formula and says how far to trust it; the symbols are explained there.

`_terms` is the one place where the formulas live: the law that the engine calls and `step_terms` both evaluate
it. Everything that does not depend on the batch is multiplied out once, by `_parameters`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blis.compiled.function import Source, compiled
from blis.config.hardware import Gpu
from blis.config.huggingface import ModelArchitecture
from blis.config.quantization import BYTES_8BIT, BYTES_16BIT
from blis.config.versions import HostProfileName
from blis.errors import CombinationError, ConfigError
from blis.latency.law import LatencyModel, law_source

#: b and bk: bytes per element of activations and of cached keys and values.
ACTIVATION_BYTES = 2
KV_ELEMENT_BYTES = 2
#: π: decode attention runs in the kernel meant for long queries when the step also prefills.
MIXED_STEP_PENALTY = 0.9
#: Launch gaps between kernels, per layer and per MoE layer.
GAP_US_PER_LAYER = 30.0
GAP_US_PER_MOE_LAYER = 35.0
#: Queries per streaming multiprocessor below which prefill attention cannot fill the GPU.
QUERIES_PER_SM = 64

# Positions in the array of parameters. All costs are in µs.
(
    ATTENTION_WEIGHTS_PER_TOKEN,  # compute time of the attention projections, per token
    ATTENTION_WEIGHTS,  # memory time of the same
    MLP_PER_TOKEN,
    MLP,
    ROUTER_PER_TOKEN,
    ROUTER,
    ELEMENTWISE_PER_TOKEN,
    EXPERTS_PER_TOKEN,  # compute time of the routed experts
    ONE_EXPERT,  # memory time of one expert in every MoE layer
    NUM_EXPERTS,
    SHARE_OF_EXPERTS_MISSED,  # (1 − k/N)^D: chance that one token of each rank leaves an expert alone
    HEAD_PER_REQUEST,
    HEAD,
    FULL_LAYERS,
    WINDOWED_LAYERS,
    WINDOW_TOKENS,
    KV_PER_TOKEN,  # memory time of what one layer caches of one token
    DECODE_PER_PAIR,  # compute time of one query-key pair in one layer
    PREFILL_PER_PAIR,
    LEAST_QUERIES,  # n0
    EXTRA_CONTEXT_TOKENS,  # x0
    COMM,
    COMM_PER_TOKEN,
    COMM_PER_REQUEST,
    GAPS,
    HOST,
    HOST_PER_REQUEST,
    PREFILL_LAUNCH,
    DECODE_LAUNCH,
    NUM_PARAMETERS,
) = range(30)
#: Positions of times, to all of which together the length of a step is proportional; the others are counts and shares.
TIMES = tuple(
    sorted(
        set(range(NUM_PARAMETERS))
        - {NUM_EXPERTS, SHARE_OF_EXPERTS_MISSED, FULL_LAYERS, WINDOWED_LAYERS, WINDOW_TOKENS}
        - {LEAST_QUERIES, EXTRA_CONTEXT_TOKENS}
    )
)


class StepTerms(NamedTuple):
    """What one step consists of, in µs.

    Attributes:
        linear: projections of attention, dense and shared MLPs, routers.
        elementwise: norms, rotary embedding, activation functions, residuals.
        experts: routed experts.
        head: LM head.
        decode_attention: attention of decoding requests.
        prefill_attention: attention of prefilling requests.
        comm: all-reduces, the gathering of logits, exchange between data-parallel ranks.
        gaps: gaps between kernels.
        host: scheduling, preparing inputs, sampling.
        launch: time to launch the kernels; hides behind the GPU's time or the other way round.
    """

    linear: float
    elementwise: float
    experts: float
    head: float
    decode_attention: float
    prefill_attention: float
    comm: float
    gaps: float
    host: float
    launch: float

    @property
    def step_us(self) -> float:
        """Length of the step before it is truncated to whole µs."""
        return _total_us(self)


def roofline_model(
    architecture: ModelArchitecture,
    gpu: Gpu,
    tp: int,
    host_profile: HostProfileName,
    *,
    data_parallel_ranks: int = 1,
) -> LatencyModel:
    """The roofline law of a model on ``tp`` GPUs, or of one of several such ranks that share their experts.

    With data-parallel ranks the law gets the batch of one rank and takes every rank to have the same: they run
    in lockstep, so that a step of one is a step of all.

    Args:
        architecture: the model.
        gpu: the GPU, with its efficiencies.
        tp: tensor parallelism degree, of each rank.
        host_profile: how the vLLM version launches kernels (`blis.config.versions.host_profile_name`).
        data_parallel_ranks: D; each has its own attention on ``tp`` GPUs, the experts are spread over all of them.

    Raises:
        ConfigError: if the model cannot be split over ``tp`` GPUs, their communication is unknown, or a dense
            model is to have ranks.
    """
    architecture.check_tp(tp)
    if tp not in gpu.tp_degrees:
        valid = ", ".join(map(str, gpu.tp_degrees))
        problem = f"the cost of an all-reduce over {tp} GPUs is not known for {gpu.name}"
        raise CombinationError(f"tp: {problem}; valid: {valid}")
    _check_ranks(architecture, gpu, tp, data_parallel_ranks)
    parameters = _parameters(architecture, gpu, tp, data_parallel_ranks, host_profile)
    return LatencyModel(
        "roofline", (0.0, 0.0, 0.0), _compiled_law, parameters, last_prompt_token_is_decode=True, times=TIMES
    )


def _check_ranks(arch: ModelArchitecture, gpu: Gpu, tp: int, ranks: int) -> None:
    if ranks < 1:
        raise ConfigError(f"data_parallel_ranks: must be a whole number >= 1, got {ranks}")
    if ranks > 1 and not arch.is_moe:
        raise ConfigError(
            f"data_parallel_ranks: ranks of a dense model are independent instances; got {ranks}, valid: 1"
        )
    if tp * ranks not in gpu.tp_degrees:
        valid = ", ".join(str(n // tp) for n in gpu.tp_degrees if n % tp == 0)
        where = f"{ranks} ranks of {tp} {gpu.name}"
        raise ConfigError(f"data_parallel_ranks: the cost of communication is not known for {where}; valid: {valid}")


def step_terms(
    model: LatencyModel, *, prefills: Sequence[tuple[int, int]] = (), decodes: Sequence[int] = ()
) -> StepTerms:
    """The terms of one step of a `roofline_model`.

    Args:
        model: the model; if it has data-parallel ranks, the batch is that of one of them.
        prefills: per prefilling request, tokens in the cache before the step and new tokens.
        decodes: per decoding request, tokens in the cache before the step.
    """
    contexts = [cached + new for cached, new in prefills]
    aggregates = (
        sum(new for _, new in prefills),
        len(decodes),
        sum(decodes),
        sum(new * cached + new * (new + 1) // 2 for cached, new in prefills),
        sum(contexts),
        len(prefills),
        max(contexts, default=0),
    )
    return StepTerms(*map(float, _terms(*aggregates, model.parameters)))


def _parameters(
    arch: ModelArchitecture, gpu: Gpu, tp: int, ranks: int, host_profile: HostProfileName
) -> NDArray[np.float64]:
    parameters = np.zeros(NUM_PARAMETERS)
    _set_matrices(parameters, arch, gpu, tp)
    _set_experts(parameters, arch, gpu, tp, ranks)
    _set_attention(parameters, arch, gpu, tp)
    _set_all_reduces(parameters, arch, gpu, tp, ranks)
    _set_exchange_between_ranks(parameters, arch, gpu, tp, ranks)
    profile = gpu.host_profiles[host_profile]
    parameters[GAPS] = GAP_US_PER_LAYER * arch.num_layers + GAP_US_PER_MOE_LAYER * arch.num_moe_layers
    parameters[HOST] = gpu.host_factor * profile.step_us
    parameters[HOST_PER_REQUEST] = profile.per_request_us
    parameters[PREFILL_LAUNCH] = gpu.host_factor * profile.prefill_launch_us_per_layer * arch.num_layers
    parameters[DECODE_LAUNCH] = gpu.host_factor * profile.decode_launch_us_per_layer * arch.num_layers
    return parameters


def _set_matrices(parameters: NDArray[np.float64], arch: ModelArchitecture, gpu: Gpu, tp: int) -> None:
    """Matrix products: 2 FLOPs per weight and token against one reading of the weights."""
    quantization = arch.quantization
    streaming = gpu.memory_bandwidth_gb_per_s * 1e3 * gpu.efficiency.weight_streaming  # bytes per µs
    for per_token, once, weights, weight_bytes in (
        (ATTENTION_WEIGHTS_PER_TOKEN, ATTENTION_WEIGHTS, arch.attention_parameters, quantization.attention_bytes),
        (MLP_PER_TOKEN, MLP, arch.mlp_parameters, quantization.mlp_bytes),
        (ROUTER_PER_TOKEN, ROUTER, arch.router_parameters, BYTES_16BIT),
        (HEAD_PER_REQUEST, HEAD, arch.vocabulary_parameters, BYTES_16BIT),
    ):
        rate = _flops_per_us(arch, gpu, weight_bytes, gpu.efficiency.linear_16bit, gpu.efficiency.linear_8bit)
        parameters[per_token] = weights / tp * 2 / rate
        parameters[once] = weights / tp * weight_bytes / streaming

    # Ranks change nothing here: each GPU has 1/(D·t) of the experts' work for the tokens of D ranks.
    moe_width = arch.shared_intermediate_size + arch.experts_per_token * arch.expert_intermediate_size
    mlp_width = arch.num_dense_layers * arch.intermediate_size + arch.num_moe_layers * moe_width
    elements = arch.num_layers * (4 * arch.hidden_size + arch.qkv_elements_per_token(tp)) + 1.5 * mlp_width / tp
    parameters[ELEMENTWISE_PER_TOKEN] = ACTIVATION_BYTES * elements / streaming


def _set_experts(parameters: NDArray[np.float64], arch: ModelArchitecture, gpu: Gpu, tp: int, ranks: int) -> None:
    """Routed experts: k of them multiply each token; those that any token of any rank wants are read once.

    Spread over D·t GPUs they are as much work per GPU as without ranks, D·T tokens on 1/D of the experts, but
    more of them are wanted and each GPU reads fewer.
    """
    if not arch.is_moe:
        return
    weight_bytes = arch.quantization.expert_bytes
    rate = _flops_per_us(arch, gpu, weight_bytes, gpu.efficiency.experts_16bit, gpu.efficiency.experts_8bit)
    streaming = gpu.memory_bandwidth_gb_per_s * 1e3 * gpu.efficiency.expert_streaming
    expert = arch.one_expert_parameters / tp
    parameters[EXPERTS_PER_TOKEN] = expert * 2 * arch.experts_per_token / rate
    parameters[ONE_EXPERT] = expert / ranks * weight_bytes / streaming
    parameters[NUM_EXPERTS] = arch.num_experts
    parameters[SHARE_OF_EXPERTS_MISSED] = (1 - arch.experts_per_token / arch.num_experts) ** ranks


def _flops_per_us(
    arch: ModelArchitecture, gpu: Gpu, weight_bytes: float, efficiency_16bit: float, efficiency_8bit: float
) -> float:
    """8-bit arithmetic needs weights and activations of 8 bit and a GPU that has the type."""
    kind = arch.quantization.activation_type
    peak = None if kind is None else gpu.peak_of(kind)
    if peak is not None and weight_bytes <= BYTES_8BIT:
        return peak * 1e6 * efficiency_8bit
    return gpu.peak_16bit_tflops * 1e6 * efficiency_16bit


def _set_attention(parameters: NDArray[np.float64], arch: ModelArchitecture, gpu: Gpu, tp: int) -> None:
    """Attention over the cache: one reading of it against the FLOPs of all query-key pairs."""
    heads = arch.num_attention_heads / tp
    kv_bytes = arch.kv_elements_per_token(tp) * KV_ELEMENT_BYTES
    bytes_per_us = gpu.memory_bandwidth_gb_per_s * 1e3 * gpu.efficiency.decode_attention
    flops_per_us = gpu.peak_16bit_tflops * 1e6 * gpu.efficiency.prefill_attention
    parameters[FULL_LAYERS] = arch.num_layers - arch.num_sliding_window_layers
    parameters[WINDOWED_LAYERS] = arch.num_sliding_window_layers
    parameters[WINDOW_TOKENS] = arch.sliding_window_tokens
    parameters[KV_PER_TOKEN] = kv_bytes / bytes_per_us
    parameters[DECODE_PER_PAIR] = heads * arch.decode_flops_per_pair / flops_per_us
    parameters[PREFILL_PER_PAIR] = heads * arch.prefill_flops_per_pair / flops_per_us
    parameters[LEAST_QUERIES] = QUERIES_PER_SM * gpu.num_sms / heads
    parameters[EXTRA_CONTEXT_TOKENS] = gpu.prefill_extra_context_tokens


def _set_all_reduces(parameters: NDArray[np.float64], arch: ModelArchitecture, gpu: Gpu, tp: int, ranks: int) -> None:
    """Two all-reduces per layer among a rank's GPUs, and one gathering of logits.

    With several ranks the exchange between them takes the place of an MoE layer's second all-reduce.
    """
    if tp == 1:
        return
    all_reduces = arch.num_layers + (arch.num_layers if ranks == 1 else arch.num_dense_layers)
    cost = gpu.all_reduce[tp]
    bytes_per_us = cost.rate_gb_per_s * 1e3
    share = (tp - 1) / tp
    hidden_bytes = arch.hidden_size * ACTIVATION_BYTES
    parameters[COMM] = (all_reduces + 1) * cost.latency_us
    parameters[COMM_PER_TOKEN] = all_reduces * 2 * share * hidden_bytes / bytes_per_us
    parameters[COMM_PER_REQUEST] = share * arch.vocab_size * ACTIVATION_BYTES / bytes_per_us


def _set_exchange_between_ranks(
    parameters: NDArray[np.float64], arch: ModelArchitecture, gpu: Gpu, tp: int, ranks: int
) -> None:
    """Per MoE layer an all-gather before the experts and a reduce-scatter behind them, vLLM's default."""
    if ranks == 1:
        return
    cost = gpu.all_reduce[tp * ranks]
    hidden_bytes = arch.hidden_size * ACTIVATION_BYTES
    parameters[COMM] += arch.num_moe_layers * 2 * cost.latency_us
    parameters[COMM_PER_TOKEN] += arch.num_moe_layers * 2 * (ranks - 1) * hidden_bytes / (cost.rate_gb_per_s * 1e3)


@functools.cache
def _compiled_law() -> Any:
    return compiled(source())


def source() -> Source:
    """What the law is compiled from."""
    return law_source(_step_time_us, _terms, _total_us)


def _step_time_us(
    prefill_tokens: int,
    num_decodes: int,
    decode_context_tokens: int,
    attention_pairs: int,
    prefill_context_tokens: int,
    num_prefills: int,
    max_prefill_context_tokens: int,
    parameters: Any,
) -> int:
    terms = _terms(
        prefill_tokens,
        num_decodes,
        decode_context_tokens,
        attention_pairs,
        prefill_context_tokens,
        num_prefills,
        max_prefill_context_tokens,
        parameters,
    )
    return max(1, int(_total_us(terms)))


def _total_us(terms: tuple[float, ...]) -> float:
    """The GPU's terms one after the other, behind them what launching takes longer, and the host's time."""
    gpu_us = terms[0] + terms[1] + terms[2] + terms[3] + terms[4] + terms[5] + terms[6] + terms[7]
    return terms[8] + max(gpu_us, terms[9])


def _terms(
    prefill_tokens: int,
    num_decodes: int,
    decode_context_tokens: int,
    attention_pairs: int,
    prefill_context_tokens: int,
    num_prefills: int,
    max_prefill_context_tokens: int,
    p: Any,
) -> tuple[float, ...]:
    """The terms of `StepTerms`, in its order; arguments as in `blis.latency.law.StepTimeFunction`."""
    tokens = float(prefill_tokens + num_decodes)
    requests = float(num_prefills + num_decodes)
    linear = (
        max(tokens * p[ATTENTION_WEIGHTS_PER_TOKEN], p[ATTENTION_WEIGHTS])
        + max(tokens * p[MLP_PER_TOKEN], p[MLP])
        + max(tokens * p[ROUTER_PER_TOKEN], p[ROUTER])
    )
    elementwise = tokens * p[ELEMENTWISE_PER_TOKEN]
    experts = 0.0
    if p[NUM_EXPERTS] > 0:
        distinct = p[NUM_EXPERTS] * (1.0 - p[SHARE_OF_EXPERTS_MISSED] ** tokens)
        experts = max(tokens * p[EXPERTS_PER_TOKEN], distinct * p[ONE_EXPERT])
    head = max(requests * p[HEAD_PER_REQUEST], p[HEAD]) if requests > 0 else 0.0

    kv_tokens = float(decode_context_tokens + num_decodes)  # S: each decode also reads the token it writes
    windowed = min(kv_tokens, p[WINDOW_TOKENS] * num_decodes)
    kv_tokens = p[FULL_LAYERS] * kv_tokens + p[WINDOWED_LAYERS] * windowed
    penalty = 1.0 + MIXED_STEP_PENALTY if prefill_tokens > 0 else 1.0
    decode_attention = max(kv_tokens * p[KV_PER_TOKEN] * penalty, kv_tokens * p[DECODE_PER_PAIR])

    prefill_attention = 0.0
    if prefill_tokens > 0:
        pairs = max(float(attention_pairs), p[LEAST_QUERIES] * max_prefill_context_tokens)
        extra = p[EXTRA_CONTEXT_TOKENS] * prefill_tokens
        context = float(prefill_context_tokens)
        windowed_context = min(context, p[WINDOW_TOKENS] * num_prefills + prefill_tokens)
        windowed_pairs = min(pairs, p[WINDOW_TOKENS] * prefill_tokens)
        prefill_attention = max(
            (p[FULL_LAYERS] * (pairs + extra) + p[WINDOWED_LAYERS] * (windowed_pairs + extra)) * p[PREFILL_PER_PAIR],
            (p[FULL_LAYERS] * context + p[WINDOWED_LAYERS] * windowed_context) * p[KV_PER_TOKEN],
        )

    comm = p[COMM] + tokens * p[COMM_PER_TOKEN] + requests * p[COMM_PER_REQUEST]
    host = p[HOST] + requests * p[HOST_PER_REQUEST]
    launch = p[PREFILL_LAUNCH] if prefill_tokens > 0 else p[DECODE_LAUNCH]
    return linear, elementwise, experts, head, decode_attention, prefill_attention, comm, p[GAPS], host, launch
