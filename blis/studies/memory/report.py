"""What `gpu_memory` has to say, as plain JSON values and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from blis.memory.caches import StateCache
from blis.memory.planning import KvGroup
from blis.memory.work import GIB
from blis.studies.memory.asking import GpuMemory

#: The part that KV caches get, and the one that vLLM may not touch.
KV_CACHES, UNUSED, LACKING = "KV caches", "not for vLLM", "lacking"


def report(found: GpuMemory) -> dict[str, Any]:
    """Everything, as plain JSON values; memory is per GPU, in GiB."""
    budget, plan, serving = found.budget, found.budget.plan, found.serving
    return {
        "model": found.name,
        "hardware": found.known.gpu.name,
        "tp": found.known.tp,
        "vllm_version": found.known.vllm_version,
        "fits": found.fits,
        "reason": found.reason,
        "smallest_tp": found.smallest_tp,
        "weights_gib_per_gpu": _gib(budget.taken.weight_bytes),
        "kv_gib_per_gpu": _gib(max(0.0, budget.kv_bytes)),
        "num_gpu_blocks": plan.num_blocks,
        "block_size_tokens": plan.block_size_tokens,
        "kv_cache_tokens": plan.cache_tokens,
        "max_concurrency": round(plan.max_concurrency, 4),
        "max_model_len": plan.max_model_len,
        "longest_request_tokens": plan.longest_request_tokens,
        "memory_gib_per_gpu": {name: _gib(size) for name, size in parts(found)},
        "weights_gib_by_part": {name: _gib(size) for name, size in budget.taken.weight_bytes_by_part.items()},
        "kv_groups": [_group(group) for group in plan.groups],
        "log": plan.log_line.splitlines() if found.fits else [],
        "settings": {
            "max_num_seqs": serving.max_num_seqs,
            "max_num_batched_tokens": serving.max_num_batched_tokens,
            "gpu_memory_utilization": serving.gpu_memory_utilization,
            "kv_cache_bytes_per_element": serving.kv_element_bytes,
            "enforce_eager": serving.enforce_eager,
        },
        "notes": [note.text for note in found.notes],
    }


def parts(found: GpuMemory) -> list[tuple[str, float]]:
    """All the memory of one GPU, in bytes, by what has it; adds up to what is visible."""
    budget = found.budget
    rest = (KV_CACHES, budget.kv_bytes) if budget.kv_bytes >= 0 else (LACKING, budget.kv_bytes)
    taken = [(name, size) for name, size in budget.taken.by_name.items() if size]
    return [*taken, rest, (UNUSED, budget.visible_bytes - budget.usable_bytes)]


def text(found: GpuMemory) -> Iterator[Any]:
    """The same for people: things that `rich` prints."""
    from blis.report.tables import number, percent, table

    yield from headlines(found)
    visible = found.budget.visible_bytes
    rows = table("", "GiB", "share", title="Memory per GPU")
    for name, size in parts(found):
        rows.add_row(name, number(size / GIB, 2), percent(size / visible))
    rows.add_row("visible", number(visible / GIB, 2), percent(1.0))
    yield rows
    if found.fits:
        yield "vLLM would log:"
        yield from (f"  {line}" for line in found.budget.plan.log_line.splitlines())
    yield from (f"Note: {note.text}" for note in found.notes)


def headlines(found: GpuMemory) -> Iterator[str]:
    """The answer, and what is around it."""
    plan, known = found.budget.plan, found.known
    where = f"{found.name} on {known.tp} x {known.gpu.name}, vLLM {known.vllm_version}"
    if found.fits:
        yield f"Fits: {where}"
        room = f"{plan.max_concurrency:.2f} requests of {plan.max_model_len:,} tokens"
        yield f"{plan.num_blocks:,} KV blocks {_groups_text(plan.groups)}: room for {room}"
    else:
        yield f"Does not fit: {where}: {found.reason}"
    if found.smallest_tp is None:
        yield f"It fits on none of the usual numbers of {known.gpu.name}."
    elif found.smallest_tp != known.tp or not found.fits:
        yield f"Smallest tp that fits: {found.smallest_tp}"


def _groups_text(groups: tuple[KvGroup, ...]) -> str:
    sizes = sorted({group.block_size_tokens for group in groups})
    tokens = f"of {' or '.join(f'{size:,}' for size in sizes)} tokens"
    return tokens if len(groups) == 1 else f"{tokens}, for {len(groups)} groups of layers"


def _group(group: KvGroup) -> dict[str, Any]:
    cache = group.cache
    kind = "state" if isinstance(cache, StateCache) else "latent" if cache.is_latent else cache.reach
    return {
        "kind": kind,
        "layers": group.num_layers,
        "block_size_tokens": group.block_size_tokens,
        "reach_tokens": None if isinstance(cache, StateCache) or not cache.reach_tokens else cache.reach_tokens,
        "blocks_per_request": group.blocks_per_request,
    }


def _gib(size: float) -> float:
    return round(size / GIB, 4)
