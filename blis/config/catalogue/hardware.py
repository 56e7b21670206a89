"""GPUs that ship with blis: peaks, memory, efficiencies, and where each figure comes from."""

from __future__ import annotations

import dataclasses
from typing import Any

from blis.config.hardware import load_hardware
from blis.errors import ConfigError, nearest

_LISTED = (
    "name",
    "aliases",
    "status",
    "peak_16bit_tflops",
    "peak_8bit_tflops",
    "memory_bandwidth_gb_per_s",
    "nominal_memory_gib",
    "link_gb_per_s",
)


def gpu_names() -> list[str]:
    """Names and aliases of all GPUs."""
    return [name for gpu in load_hardware().gpus for name in (gpu.name, *gpu.aliases)]


def gpus() -> list[dict[str, Any]]:
    """One entry per GPU, in the file's order."""
    return [{name: getattr(gpu, name) for name in _LISTED} for gpu in load_hardware().gpus]


def gpu(name: str) -> dict[str, Any]:
    """All figures of one GPU, by name or alias, with the source of each.

    Raises:
        ConfigError: there is none; says which come close.
    """
    found = load_hardware().find(name)
    if found is None:
        raise ConfigError(f"unknown GPU {name!r}; {nearest(name.upper(), gpu_names())}")
    return dataclasses.asdict(found)
