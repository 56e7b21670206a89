"""The analytical model: step time from the model's architecture and the GPU's figures.

Every kernel of a step takes the larger of its compute time and its memory time, those of experts both, each at the
peak of the datasheet times an efficiency; kernels are added; the host's time is added on top. Nothing is fitted per
model.
docs/roofline.md derives each formula and says how far to trust it; the symbols are explained there.

`_terms` is the one place where the formulas live: the law that the engine calls and `step_terms` both evaluate
it. Everything that does not depend on the batch is multiplied out once (`blis.latency.roofline_parameters`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from blis.compiled.function import Source, compiled
from blis.config.hardware import Gpu
from blis.config.model.model import Model
from blis.config.versions import HostProfileName
from blis.errors import CombinationError, ConfigError
from blis.latency.law import LatencyModel, law_source
from blis.latency.roofline_parameters import (
    ATTENTION_WEIGHTS,
    ATTENTION_WEIGHTS_PER_TOKEN,
    COMM,
    COMM_PER_REQUEST,
    COMM_PER_TOKEN,
    DECODE_LAUNCH,
    DECODE_PER_PAIR,
    ELEMENTWISE_PER_TOKEN,
    EXPERTS_PER_TOKEN,
    EXTRA_CONTEXT_TOKENS,
    FULL_LAYERS,
    GAPS,
    HEAD,
    HEAD_PER_REQUEST,
    HOST,
    HOST_PER_REQUEST,
    IS_MIXED,
    KV_PER_TOKEN,
    LEAST_QUERIES,
    MIXED_STEP_PENALTY,
    MLP,
    MLP_PER_TOKEN,
    NUM_EXPERTS,
    NUM_FURTHER_KINDS,
    NUM_OF_KIND,
    ONE_EXPERT,
    PREFILL_LAUNCH,
    PREFILL_PER_PAIR,
    ROUTER,
    ROUTER_PER_TOKEN,
    SCAN_PER_TOKEN,
    SHARE_OF_EXPERTS_MISSED,
    STATE_PER_REQUEST,
    WINDOW_TOKENS,
    WINDOWED_LAYERS,
    parameters_of,
    times_of,
)


class StepTerms(NamedTuple):
    """What one step consists of, in µs.

    Attributes:
        linear: projections of attention and other mixers, dense and shared MLPs, routers.
        elementwise: norms, rotary embedding, activation functions, residuals.
        experts: routed experts.
        head: LM head.
        decode_attention: attention of decoding requests, and their states.
        prefill_attention: attention of prefilling requests, scans and states.
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
    model: Model,
    gpu: Gpu,
    tp: int,
    host_profile: HostProfileName,
    *,
    data_parallel_ranks: int = 1,
    kv_element_bytes: int = 2,
) -> LatencyModel:
    """The roofline law of a model on ``tp`` GPUs, or of one of several such ranks that share their experts.

    With data-parallel ranks the law gets the batch of one rank and takes every rank to have the same: they run
    in lockstep, so that a step of one is a step of all.

    Args:
        model: the model.
        gpu: the GPU, with its efficiencies.
        tp: tensor parallelism degree, of each rank.
        host_profile: how the vLLM version launches kernels (`blis.config.versions.host_profile_name`).
        data_parallel_ranks: D; each has its own attention on ``tp`` GPUs, the experts are spread over all of them.
        kv_element_bytes: of cached keys and values: 2, or 1 for FP8 (`Model.kv_element_bytes`).

    Raises:
        ConfigError: if the model cannot be split over ``tp`` GPUs, their communication is unknown, a dense model is
            to have ranks, or MoE layers differ in what the law takes to be alike.
    """
    model.check_tp(tp)
    if tp not in gpu.tp_degrees:
        valid = ", ".join(map(str, gpu.tp_degrees))
        problem = f"the cost of an all-reduce over {tp} GPUs is not known for {gpu.name}"
        raise CombinationError(f"tp: {problem}; valid: {valid}")
    _check_ranks(model, gpu, tp, data_parallel_ranks)
    parameters = parameters_of(model, gpu, tp, data_parallel_ranks, host_profile, kv_element_bytes)
    times = times_of(parameters)
    return LatencyModel(
        "roofline", (0.0, 0.0, 0.0), _compiled_law, parameters, last_prompt_token_is_decode=True, times=times
    )


def _check_ranks(model: Model, gpu: Gpu, tp: int, ranks: int) -> None:
    if ranks < 1:
        raise ConfigError(f"data_parallel_ranks: must be a whole number >= 1, got {ranks}")
    if ranks > 1 and not model.is_moe:
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


@functools.cache
def _compiled_law() -> Any:
    return compiled(source())


def source() -> Source:
    """What the law is compiled from."""
    return law_source(_step_time_us, _attention, _terms, _total_us)


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
        experts = tokens * p[EXPERTS_PER_TOKEN] + distinct * p[ONE_EXPERT]
    head = max(requests * p[HEAD_PER_REQUEST], p[HEAD]) if requests > 0 else 0.0

    decode_attention, prefill_attention = _attention(
        prefill_tokens,
        num_decodes,
        decode_context_tokens,
        attention_pairs,
        prefill_context_tokens,
        num_prefills,
        max_prefill_context_tokens,
        p,
        0,
    )
    if p[IS_MIXED] > 0:
        decode_attention += num_decodes * p[STATE_PER_REQUEST]
        prefill_attention += max(prefill_tokens * p[SCAN_PER_TOKEN], num_prefills * p[STATE_PER_REQUEST])
        for kind in range(1, 1 + int(p[NUM_FURTHER_KINDS])):
            decode, prefill = _attention(
                prefill_tokens,
                num_decodes,
                decode_context_tokens,
                attention_pairs,
                prefill_context_tokens,
                num_prefills,
                max_prefill_context_tokens,
                p,
                kind * NUM_OF_KIND,
            )
            decode_attention += decode
            prefill_attention += prefill

    comm = p[COMM] + tokens * p[COMM_PER_TOKEN] + requests * p[COMM_PER_REQUEST]
    host = p[HOST] + requests * p[HOST_PER_REQUEST]
    launch = p[PREFILL_LAUNCH] if prefill_tokens > 0 else p[DECODE_LAUNCH]
    return linear, elementwise, experts, head, decode_attention, prefill_attention, comm, p[GAPS], host, launch


def _attention(
    prefill_tokens: int,
    num_decodes: int,
    decode_context_tokens: int,
    attention_pairs: int,
    prefill_context_tokens: int,
    num_prefills: int,
    max_prefill_context_tokens: int,
    p: Any,
    at: int,
) -> tuple[float, float]:
    """Attention of decodes and of prefills in all layers of one kind, whose parameters lie ``at`` positions further."""
    full, windowed, window = p[at + FULL_LAYERS], p[at + WINDOWED_LAYERS], p[at + WINDOW_TOKENS]
    kv_tokens = float(decode_context_tokens + num_decodes)  # S: each decode also reads the token it writes
    kv_tokens = full * kv_tokens + windowed * min(kv_tokens, window * num_decodes)
    penalty = 1.0 + p[at + MIXED_STEP_PENALTY] if prefill_tokens > 0 else 1.0
    decode = max(kv_tokens * p[at + KV_PER_TOKEN] * penalty, kv_tokens * p[at + DECODE_PER_PAIR])
    if prefill_tokens == 0:
        return decode, 0.0
    pairs = max(float(attention_pairs), p[at + LEAST_QUERIES] * max_prefill_context_tokens)
    extra = p[EXTRA_CONTEXT_TOKENS] * prefill_tokens
    context = float(prefill_context_tokens)
    windowed_context = min(context, window * num_prefills + prefill_tokens)
    windowed_pairs = min(pairs, window * prefill_tokens)
    prefill = max(
        (full * (pairs + extra) + windowed * (windowed_pairs + extra)) * p[at + PREFILL_PER_PAIR],
        (full * context + windowed * windowed_context) * p[at + KV_PER_TOKEN],
    )
    return decode, prefill
