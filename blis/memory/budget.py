"""The memory of one GPU, and what becomes of it when vLLM starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from blis.config.hardware import Gpu
from blis.config.model.model import Model
from blis.memory.layer_caches import kernel_block_tokens, layer_caches
from blis.memory.planning import KvPlan, Settings, plan_kv_cache
from blis.memory.releases import Release
from blis.memory.weights import weight_bytes_by_part
from blis.memory.work import (
    GIB,
    activation_bytes,
    encoder_bytes,
    expert_workspace_bytes,
    graph_bytes,
    is_rocm,
    non_torch_bytes,
)

#: Where neither a user nor the model says how long requests get.
_UNKNOWN_CONTEXT = 2**17
#: One block of vLLM's count is reserved, so that two are the least that can hold anything.
_LEAST_BLOCKS = 2
#: With asynchronous scheduling, which is the default, a batch is planned while another one runs.
_BATCHES_IN_FLIGHT = 2


@dataclass(frozen=True)
class Serving:
    """Settings of vLLM that memory depends on.

    Attributes:
        release: of vLLM.
        max_num_seqs: S, sequences of a batch.
        max_num_batched_tokens: T, tokens of a batch.
        max_model_len: L, most tokens of a request; None: the model's context.
        gpu_memory_utilization: share of the visible memory that vLLM may use.
        kv_element_bytes: of cached keys and values.
        block_size_tokens: tokens of a KV block, as asked for.
        prefix_caching: whether prefixes are cached, by releases that do so by default.
        enforce_eager: no CUDA graphs.
        activation_gib: activations of the whole TP group instead of the derived figure.
    """

    release: Release
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int | None = None
    gpu_memory_utilization: float = 0.9
    kv_element_bytes: int = 2
    block_size_tokens: int = 16
    prefix_caching: bool = True
    enforce_eager: bool = False
    activation_gib: float | None = None


@dataclass(frozen=True)
class Taken:
    """What is gone before KV caches get anything, in bytes per GPU.

    Attributes:
        weight_bytes_by_part: this GPU's part of the weights.
        activation_bytes: peak of a batch's activations, in the MLP or in the sampler.
        workspace_bytes: what experts work in.
        encoder_bytes: features of the largest image.
        graph_bytes: CUDA graphs.
        non_torch_bytes: CUDA context, communication buffers.
    """

    weight_bytes_by_part: dict[str, float]
    activation_bytes: float
    workspace_bytes: float
    encoder_bytes: float
    graph_bytes: float
    non_torch_bytes: float

    @property
    def weight_bytes(self) -> float:
        """Of all parts."""
        return sum(self.weight_bytes_by_part.values())

    @property
    def by_name(self) -> dict[str, float]:
        """All of it, by words for people."""
        return {
            "weights": self.weight_bytes,
            "activations": self.activation_bytes,
            "expert workspace": self.workspace_bytes,
            "encoder features": self.encoder_bytes,
            "CUDA graphs": self.graph_bytes,
            "non-torch": self.non_torch_bytes,
        }


@dataclass(frozen=True)
class Budget:
    """The memory of one GPU of an instance, in bytes.

    Attributes:
        visible_bytes: the GPU's memory as vLLM sees it.
        usable_bytes: the share of it that vLLM may use.
        taken: what of that is gone before KV caches get anything.
        kv_bytes: the rest, for KV caches; negative if more is gone than may be used.
        plan: how KV caches divide it.
    """

    visible_bytes: float
    usable_bytes: float
    taken: Taken
    kv_bytes: float
    plan: KvPlan

    @property
    def holds_anything(self) -> bool:
        """Whether there is a block beside the reserved one."""
        return self.plan.num_blocks >= _LEAST_BLOCKS

    @property
    def fits(self) -> bool:
        """Whether vLLM starts: one request of full length has room."""
        return self.kv_bytes > 0 and self.plan.fits


def memory_budget(model: Model, gpu: Gpu, tp: int, serving: Serving) -> Budget:
    """What becomes of the memory of each of ``tp`` GPUs.

    Raises:
        CombinationError: the model cannot be split over ``tp`` GPUs.
        CapacityError: the release cannot divide the memory among such layers.
    """
    model.check_tp(tp)
    tokens, release = serving.max_num_batched_tokens, serving.release
    activations = activation_bytes(model, release, tp, tokens, serving.max_num_seqs)
    if serving.activation_gib is not None:
        activations = serving.activation_gib * GIB / tp
    visible = gpu.visible_memory_gib * GIB
    parts = Taken(
        weight_bytes_by_part=weight_bytes_by_part(model, tp, tokens, is_rocm=is_rocm(gpu)),
        activation_bytes=activations,
        workspace_bytes=expert_workspace_bytes(model, gpu, release, tp, tokens),
        encoder_bytes=encoder_bytes(model),
        graph_bytes=graph_bytes(release, enforce_eager=serving.enforce_eager),
        non_torch_bytes=non_torch_bytes(gpu, tp),
    )
    usable = visible * serving.gpu_memory_utilization
    left = usable - sum(parts.by_name.values())
    return Budget(visible, usable, parts, left, kv_plan(model, tp, serving, math.floor(left)))


def kv_plan(model: Model, tp: int, serving: Serving, available_bytes: int) -> KvPlan:
    """How so much memory of each GPU is divided."""
    release = serving.release
    can_cache = release.caches_prefixes_of_states or not model.states
    kernel = kernel_block_tokens(model)
    settings = Settings(
        available_bytes=available_bytes,
        max_model_len=serving.max_model_len or model.context_length or _UNKNOWN_CONTEXT,
        max_num_batched_tokens=serving.max_num_batched_tokens,
        batches_in_flight=_BATCHES_IN_FLIGHT,
        block_size_tokens=max(serving.block_size_tokens, kernel),
        kernel_block_tokens=kernel,
        prefix_caching=serving.prefix_caching and can_cache,
        rules=release.rules,
    )
    return plan_kv_cache(layer_caches(model, tp, serving.kv_element_bytes), settings)


def possible_tps(model: Model, gpu: Gpu) -> list[int]:
    """The usual numbers of GPUs, as far as the model can be split over them."""
    return [tp for tp in gpu.tp_degrees if model.splits_over(tp)]


def smallest_tp(model: Model, gpu: Gpu, serving: Serving, *, for_full_length: bool = True) -> int | None:
    """The smallest number of GPUs that does, of those that the model can be split over; None: none does.

    Args:
        model: the model.
        gpu: the GPU.
        serving: settings of vLLM.
        for_full_length: whether a request of full length must have room; else any KV blocks will do.
    """
    for tp in possible_tps(model, gpu):
        budget = memory_budget(model, gpu, tp, serving)
        if budget.fits if for_full_length else budget.holds_anything:
            return tp
    return None
