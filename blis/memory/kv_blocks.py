"""How many KV blocks the engine gets: those given, else those that fit, else those published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blis.config.defaults import CoefficientRow
from blis.config.engine_defaults import OF_COEFFICIENTS
from blis.config.hardware import Gpu
from blis.config.model.model import Model
from blis.config.notes import Note
from blis.config.schema import Deployment, EngineConfig
from blis.errors import CapacityError
from blis.memory.budget import Budget, Serving, kv_plan, memory_budget, possible_tps, smallest_tp
from blis.memory.planning import KvPlan
from blis.memory.releases import release_of
from blis.memory.work import GIB

#: Where nothing says how many KV blocks there are: in effect, no limit.
UNKNOWN_TOTAL_KV_BLOCKS = 1_000_000


@dataclass(frozen=True)
class KnownModel:
    """A model whose layers are known, on GPUs whose memory is."""

    model: Model
    gpu: Gpu
    tp: int
    vllm_version: str | None


@dataclass(frozen=True)
class KvBlocks:
    """The choice.

    Attributes:
        total: vLLM's ``num_gpu_blocks``, in blocks of the engine's size.
        details: how it came about; plain JSON values.
        notes: the same for people.
        longest_request_tokens: for which there is room, up to the context; None if that was not derived.
    """

    total: int
    details: dict[str, Any]
    notes: tuple[Note, ...]
    longest_request_tokens: int | None = None


def choose_kv_blocks(
    deployment: Deployment, engine: EngineConfig, known: KnownModel | None, row: CoefficientRow | None
) -> KvBlocks:
    """Decide how many KV blocks an instance has.

    Args:
        deployment: as asked for.
        engine: everything else about the engine is decided.
        known: model and GPU, as far as they are known.
        row: what was published for the deployment; None: nothing.

    Raises:
        CombinationError: the model cannot be split over so many GPUs.
        CapacityError: it does not fit; names the smallest number that does.
    """
    given = deployment.total_kv_blocks
    if given is not None:
        return KvBlocks(given, {"origin": "given", "total": given}, _too_large(given, deployment, engine, known))
    if known is not None:
        return _derived(deployment, engine, known, row)
    if row is not None:
        text = f"total_kv_blocks: {row.total_kv_blocks} as published for {row}, a count that was never measured"
        text += " and is about tp times too large" if row.tp > 1 else ""
        details = {"origin": "published", "total": row.total_kv_blocks}
        return KvBlocks(row.total_kv_blocks, details, (Note("warning", text),))
    text = f"total_kv_blocks: {UNKNOWN_TOTAL_KV_BLOCKS}, since model, GPU and TP do not tell; set it if memory matters"
    details = {"origin": "default", "total": UNKNOWN_TOTAL_KV_BLOCKS}
    return KvBlocks(UNKNOWN_TOTAL_KV_BLOCKS, details, (Note("warning", text),))


def serving_of(deployment: Deployment, engine: EngineConfig, known: KnownModel) -> Serving:
    """The settings that memory depends on."""
    return Serving(
        release=release_of(known.vllm_version),
        max_num_seqs=engine.max_num_running_reqs,
        max_num_batched_tokens=engine.max_num_scheduled_tokens,
        max_model_len=engine.max_model_len,
        gpu_memory_utilization=deployment.gpu_memory_utilization or OF_COEFFICIENTS.gpu_memory_utilization,
        kv_element_bytes=known.model.kv_element_bytes(deployment.kv_cache_dtype),
        block_size_tokens=engine.block_size_tokens,
        prefix_caching=engine.enable_prefix_caching,
        activation_gib=deployment.activation_gib,
    )


def _derived(deployment: Deployment, engine: EngineConfig, known: KnownModel, row: CoefficientRow | None) -> KvBlocks:
    serving = serving_of(deployment, engine, known)
    budget = memory_budget(known.model, known.gpu, known.tp, serving)
    if not budget.holds_anything:
        raise CapacityError(f"tp: {_does_not_fit(budget, known, serving)}")
    plan = budget.plan
    total = plan.num_blocks
    if len(plan.groups) > 1 or plan.block_size_tokens != engine.block_size_tokens:
        total = plan.usable_tokens // engine.block_size_tokens
    notes = [Note("info", _text(budget, total, row))]
    if len(plan.groups) > 1:
        notes.append(Note("warning", _groups_text(plan, total, engine)))
    details = _details(budget, total, row) | {"gpu_memory_utilization": serving.gpu_memory_utilization}
    return KvBlocks(total, details, tuple(notes), plan.longest_request_tokens)


def _does_not_fit(budget: Budget, known: KnownModel, serving: Serving) -> str:
    smallest = smallest_tp(known.model, known.gpu, serving, for_full_length=False)
    remedy = (
        f"not even tp {possible_tps(known.model, known.gpu)[-1]} fits"
        if smallest is None
        else f"smallest tp that fits: {smallest}"
    )
    parts = f"{budget.taken.weight_bytes / GIB:.1f} GiB of weights per GPU, {budget.usable_bytes / GIB:.1f} GiB usable"
    return f"the model does not fit {known.tp} x {known.gpu.name} ({parts}); {remedy}"


def _too_large(blocks: int, deployment: Deployment, engine: EngineConfig, known: KnownModel | None) -> tuple[Note, ...]:
    if known is None:
        return ()
    try:
        plan = kv_plan(known.model, known.tp, serving_of(deployment, engine, known), 0)
    except CapacityError:  # the release has no such blocks, and the count was given
        return ()
    gib = blocks * plan.block_bytes / GIB
    if gib <= known.gpu.visible_memory_gib:
        return ()
    memory = f"{gib:,.0f} GiB per GPU, which has {known.gpu.visible_memory_gib:g} GiB"
    return (Note("warning", f"total_kv_blocks: {blocks} blocks take {memory}"),)


def _details(budget: Budget, total: int, row: CoefficientRow | None) -> dict[str, Any]:
    taken = {name.replace(" ", "_").replace("-", "_"): size for name, size in budget.taken.by_name.items()}
    return {
        "origin": "derived",
        "total": total,
        "published": row.total_kv_blocks if row is not None else None,
        "bytes_per_gpu": {
            "visible": budget.visible_bytes,
            "usable": budget.usable_bytes,
            **taken,
            "kv_cache": budget.kv_bytes,
            "block": budget.plan.block_bytes,
        },
    }


def _text(budget: Budget, total: int, row: CoefficientRow | None) -> str:
    parts = [f"{budget.usable_bytes / GIB:.2f} GiB usable per GPU"]
    parts += [f"{size / GIB:.2f} {name}" for name, size in budget.taken.by_name.items() if size]
    text = f"total_kv_blocks: {total}, derived: ({' - '.join(parts)})"
    text += f" / {budget.plan.block_bytes / 2**20:.2f} MiB per block"
    if row is not None:
        text += f"; the published count of {row.total_kv_blocks} was never measured"
    return text


def _groups_text(plan: KvPlan, total: int, engine: EngineConfig) -> str:
    pool = f"{plan.num_blocks} blocks in {len(plan.groups)} groups of layers"
    return f"total_kv_blocks: {total} of {engine.block_size_tokens} tokens, for which vLLM's {pool} always have room"
