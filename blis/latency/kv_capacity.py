"""How many KV blocks fit beside the weights: what vLLM finds out by profiling one dummy batch at start-up.

The constants were fitted to counts that vLLM itself reported on 80-GiB cards (docs/roofline.md lists them).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from blis.config.hardware import Gpu
from blis.config.model.model import Model, token_bytes
from blis.errors import CapacityError
from blis.latency.roofline_parameters import ACTIVATION_BYTES

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
    model: Model,
    gpu: Gpu,
    tp: int,
    *,
    block_size_tokens: int,
    max_num_scheduled_tokens: int,
    max_num_running_reqs: int,
    gpu_memory_utilization: float = 0.9,
    kv_element_bytes: int = 2,
    activation_gib: float | None = None,
) -> KvCapacity:
    """Derive the number of KV blocks of an instance.

    Args:
        model: the model.
        gpu: the GPU.
        tp: tensor parallelism degree.
        block_size_tokens: tokens per KV block.
        max_num_scheduled_tokens: tokens of the dummy batch.
        max_num_running_reqs: sequences of the dummy batch.
        gpu_memory_utilization: share of the visible memory that vLLM may use.
        kv_element_bytes: of cached keys and values.
        activation_gib: activations of the whole TP group, instead of the derived figure.

    Raises:
        ConfigError: if the model cannot be split over ``tp`` GPUs.
        CapacityError: if it does not fit; names the smallest TP degree that does.
    """
    model.check_tp(tp)

    def capacity(degree: int) -> KvCapacity:
        activation = activation_gib * GIB / degree if activation_gib is not None else None
        if activation is None:
            activation = _activation_bytes(model, degree, max_num_scheduled_tokens, max_num_running_reqs)
        block = kv_block_bytes(model, degree, block_size_tokens, kv_element_bytes)
        return _capacity(model, gpu, degree, block, gpu_memory_utilization, activation)

    result = capacity(tp)
    if result.total_kv_blocks < _LEAST_BLOCKS:
        candidates = [t for t in gpu.tp_degrees if model.splits_over(t)]
        fitting = [t for t in candidates if capacity(t).total_kv_blocks >= _LEAST_BLOCKS]
        remedy = f"smallest tp that fits: {fitting[0]}" if fitting else f"not even tp {candidates[-1]} fits"
        parts = f"{result.weight_bytes / GIB:.1f} GiB of weights per GPU, {result.usable_bytes / GIB:.1f} GiB usable"
        raise CapacityError(f"tp: the model does not fit {tp} x {gpu.name} ({parts}); {remedy}")
    return result


def kv_block_bytes(model: Model, tp: int, block_size_tokens: int, kv_element_bytes: int = 2) -> int:
    """Memory of one KV block on each of ``tp`` GPUs, in bytes."""
    return block_size_tokens * sum(token_bytes(mixer, tp, kv_element_bytes) for mixer in model.attention)


def _capacity(model: Model, gpu: Gpu, tp: int, block: int, utilization: float, activation_bytes: float) -> KvCapacity:
    visible = gpu.visible_memory_gib * GIB
    non_torch = (NON_TORCH_GIB_ALONE if tp == 1 else NON_TORCH_GIB_IN_GROUP) * GIB
    vision_encoder = VISION_ENCODER_GIB * GIB if model.encoder_parameters else 0.0
    weights = (model.weight_bytes - model.weight_bytes_by_part["encoders"]) / tp
    budget = visible * utilization - weights - activation_bytes - non_torch - vision_encoder
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


def _activation_bytes(model: Model, tp: int, tokens: int, sequences: int) -> float:
    """Peak of one dummy batch on one GPU: inside the widest MLP, or in the sampler."""
    dense = [mlp.width for mlp in model.dense_mlps]
    moe = [each.shared_width + each.experts_per_token * each.expert_width for each in model.moe_layers]
    in_mlp = ACTIVATION_BYTES * tokens * (3 * model.hidden_size + 3 * max([*dense, *moe], default=0) / tp)
    in_sampler = (
        2 * ACTIVATION_BYTES * tokens * model.hidden_size + SAMPLER_BYTES_PER_LOGIT * sequences * model.vocab_size
    )
    return max(in_mlp, in_sampler)
