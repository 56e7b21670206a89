"""Loads `tests/vectors/capacity`: what vLLM's own planner did with the memory for KV caches.

The records were made with the unmodified planner of vLLM 0.33.0: its grouping of layers, block counts, checks and log.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from blis.config.model.layers import (
    Attention,
    Indexer,
    LatentAttention,
    Layer,
    Reach,
    StateKind,
    StateMixer,
)
from blis.config.model.model import Model
from blis.memory.layer_caches import layer_caches
from blis.memory.planning import KvPlan, Rules, Settings, plan_kv_cache

_FILE = Path(__file__).parent / "vectors" / "capacity" / "capacity_cases.json.gz"
_ELEMENT_BYTES = {"bf16": 2, "fp8": 1}
_STATE_BYTES = {"fp32": 4, "bf16": 2, None: 2}
_REACH: dict[str, tuple[Reach, str]] = {
    "full": ("full", ""),
    "swa": ("window", "window"),
    "chunked": ("chunk", "chunk"),
}


@cache
def capacity_cases() -> tuple[dict[str, Any], ...]:
    """All records. For pytest: ``parametrize("case", capacity_cases(), ids=lambda case: case["name"])``."""
    return tuple(json.loads(gzip.decompress(_FILE.read_bytes())))


def plan_of(case: dict[str, Any]) -> KvPlan:
    """What blis makes of the same model and memory."""
    element_bytes = _ELEMENT_BYTES[case["kv_dtype"]]
    caches = layer_caches(_model(case), case["tp"], element_bytes)
    settings = Settings(
        available_bytes=case["available_bytes"],
        max_model_len=case["max_model_len"],
        max_num_batched_tokens=case["max_num_batched_tokens"],
        batches_in_flight=case["batches_in_flight"],
        block_size_tokens=case["block_size"],
        kernel_block_tokens=case["kernel_block"],
        prefix_caching=case["prefix_caching"],
        num_blocks=case.get("blocks_override"),
        rules=Rules(has_groups=not case.get("disable_hybrid")),
    )
    plan = plan_kv_cache(caches, settings)
    if case.get("auto_fit"):
        plan = plan_kv_cache(caches, replace(settings, max_model_len=plan.longest_request_tokens))
    return plan


def _model(case: dict[str, Any]) -> Model:
    kinds = case["kinds"]
    is_sparse = any(kind["type"] == "indexer" for kind in kinds.values())
    mixers = [_mixer(kinds[letter], is_sparse) for letter in case["layers"] if kinds[letter]["type"] != "indexer"]
    return Model("", 1024, 1024, tuple(Layer((mixer,), None) for mixer in mixers))


def _mixer(kind: dict[str, Any], is_sparse: bool) -> Attention | LatentAttention | StateMixer:
    if kind["type"] in _REACH:
        reach, key = _REACH[kind["type"]]
        heads = kind["kv_heads"]
        return Attention(heads, heads, kind["head_dim"], kind["head_dim"], reach, kind.get(key, 0))
    if kind["type"] == "mla":
        indexer = Indexer(64, 128, 2048) if is_sparse else None
        return LatentAttention(128, kind["head_dim"] - 64, None, 128, 64, 128, indexer)
    return _state(kind)


def _state(kind: dict[str, Any]) -> StateMixer:
    name: StateKind = kind["type"]
    conv, size = kind["d_conv"] - 1, _STATE_BYTES[kind.get("state_dtype")]
    if name == "mamba1":
        return StateMixer(name, 0, conv, kind["d_inner"], kind["d_inner"] * kind["d_state"], size)
    heads = kind.get("heads", 0) * kind.get("head_dim", 0)
    if name == "mamba2":
        groups = (kind["n_groups"], 2 * kind["d_state"])
        return StateMixer(name, 0, conv, kind["d_inner"], heads * kind["d_state"], size, *groups)
    if name == "kda":
        return StateMixer(name, 0, conv, 3 * heads, heads * kind["head_dim"], size)
    keys, values = kind["k_heads"] * kind["k_dim"], kind["v_heads"] * kind["v_dim"]
    return StateMixer(name, 0, conv, 2 * keys + values, values * kind["k_dim"], size)
