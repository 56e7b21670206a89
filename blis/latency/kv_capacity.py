"""How many KV blocks fit beside the weights: what vLLM finds out by profiling one dummy batch at start-up.

The constants were fitted to counts that vLLM itself reported on 80-GiB cards (docs/roofline.md lists them).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from blis.config.hardware import Gpu
from blis.config.huggingface import ModelArchitecture
from blis.errors import CapacityError
from blis.latency.roofline import ACTIVATION_BYTES, KV_ELEMENT_BYTES

GIB = 2**30
#: CUDA context, communication buffers and graphs, per GPU: alone, and in a group.
NON_TORCH_GIB_ALONE = 0.28
NON_TORCH_GIB_IN_GROUP = 0.46
#: The sampler's copies of one request's logits: FP32 logits, sorting and softmax, in bytes per vocabulary entry.
SAMPLER_BYTES_PER_LOGIT = 53
#: vLLM also profiles the image encoder of a multimodal checkpoint; an allowance, not a measurement.
VISION_ENCODER_GIB = 4.0
#: One block of vLLM's count is reserved, so that two are the least that can hold anything.
_LEAST_BLOCKS = 2


@dataclass(frozen=True)
class KvCapacity:
    """The memory of one GPU and what becomes of it, in bytes.

    Attributes:
        visible_bytes: the GPU's memory as vLLM sees it.
        usable_bytes: the share of it that vLLM may use.
        weight_bytes: this GPU's part of the weights.
        activation_bytes: peak of the dummy batch's activations, in the MLP or in the sampler.
        non_torch_bytes: CUDA context, communication buffers, graphs.
        vision_encoder_bytes: allowance for the image encoder of a multimodal checkpoint.
        budget_bytes: what is left for the KV cache.
        block_bytes: one KV block on this GPU.
        total_kv_blocks: blocks that fit; vLLM's ``num_gpu_blocks``.
    """

    visible_bytes: float
    usable_bytes: float
    weight_bytes: float
    activation_bytes: float
    non_torch_bytes: float
    vision_encoder_bytes: float
    budget_bytes: float
    block_bytes: float
    total_kv_blocks: int


def kv_capacity(
    architecture: ModelArchitecture,
    gpu: Gpu,
    tp: int,
    *,
    block_size_tokens: int,
    max_num_scheduled_tokens: int,
    max_num_running_reqs: int,
    gpu_memory_utilization: float = 0.9,
    activation_gib: float | None = None,
) -> KvCapacity:
    """Derive the number of KV blocks of an instance.

    Args:
        architecture: the model.
        gpu: the GPU.
        tp: tensor parallelism degree.
        block_size_tokens: tokens per KV block.
        max_num_scheduled_tokens: tokens of the dummy batch.
        max_num_running_reqs: sequences of the dummy batch.
        gpu_memory_utilization: share of the visible memory that vLLM may use.
        activation_gib: activations of the whole TP group, instead of the derived figure.

    Raises:
        ConfigError: if the model cannot be split over ``tp`` GPUs.
        CapacityError: if it does not fit; names the smallest TP degree that does.
    """
    architecture.check_tp(tp)

    def capacity(degree: int) -> KvCapacity:
        activation = activation_gib * GIB / degree if activation_gib is not None else None
        if activation is None:
            activation = _activation_bytes(architecture, degree, max_num_scheduled_tokens, max_num_running_reqs)
        return _capacity(architecture, gpu, degree, block_size_tokens, gpu_memory_utilization, activation)

    result = capacity(tp)
    if result.total_kv_blocks < _LEAST_BLOCKS:
        candidates = [t for t in gpu.tp_degrees if architecture.splits_over(t)]
        fitting = [t for t in candidates if capacity(t).total_kv_blocks >= _LEAST_BLOCKS]
        remedy = f"smallest tp that fits: {fitting[0]}" if fitting else f"not even tp {candidates[-1]} fits"
        parts = f"{result.weight_bytes / GIB:.1f} GiB of weights per GPU, {result.usable_bytes / GIB:.1f} GiB usable"
        raise CapacityError(f"tp: the model does not fit {tp} x {gpu.name} ({parts}); {remedy}")
    return result


def kv_block_bytes(architecture: ModelArchitecture, tp: int, block_size_tokens: int) -> float:
    """Memory of one KV block on each of ``tp`` GPUs, in bytes."""
    elements = architecture.num_layers * architecture.kv_elements_per_token(tp)
    return elements * KV_ELEMENT_BYTES * block_size_tokens


def _capacity(
    arch: ModelArchitecture, gpu: Gpu, tp: int, block_size_tokens: int, utilization: float, activation_bytes: float
) -> KvCapacity:
    visible = gpu.visible_memory_gib * GIB
    non_torch = (NON_TORCH_GIB_ALONE if tp == 1 else NON_TORCH_GIB_IN_GROUP) * GIB
    vision_encoder = VISION_ENCODER_GIB * GIB if arch.has_vision_encoder else 0.0
    weights = arch.weight_bytes / tp
    budget = visible * utilization - weights - activation_bytes - non_torch - vision_encoder
    block = kv_block_bytes(arch, tp, block_size_tokens)
    return KvCapacity(
        visible_bytes=visible,
        usable_bytes=visible * utilization,
        weight_bytes=weights,
        activation_bytes=activation_bytes,
        non_torch_bytes=non_torch,
        vision_encoder_bytes=vision_encoder,
        budget_bytes=budget,
        block_bytes=block,
        total_kv_blocks=max(0, math.floor(budget / block)),
    )


def _activation_bytes(arch: ModelArchitecture, tp: int, tokens: int, sequences: int) -> float:
    """Peak of one dummy batch on one GPU: inside the widest MLP, or in the sampler."""
    dense = arch.intermediate_size if arch.num_dense_layers else 0
    moe = arch.shared_intermediate_size + arch.experts_per_token * arch.expert_intermediate_size if arch.is_moe else 0
    in_mlp = ACTIVATION_BYTES * tokens * (3 * arch.hidden_size + 3 * max(dense, moe) / tp)
    in_sampler = (
        2 * ACTIVATION_BYTES * tokens * arch.hidden_size + SAMPLER_BYTES_PER_LOGIT * sequences * arch.vocab_size
    )
    return max(in_mlp, in_sampler)
