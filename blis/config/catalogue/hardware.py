"""GPUs that ship with blis: peaks, memory, efficiencies, and where each figure comes from."""

from __future__ import annotations

import dataclasses
from typing import Any

from blis.config.hardware import Gpu, load_hardware
from blis.errors import ConfigError

_LISTED = (
    "name",
    "aliases",
    "status",
    "peak_16bit_tflops",
    "peak_8bit_tflops",
    "peak_fp8_tflops",
    "peak_int8_tops",
    "peak_fp4_tflops",
    "memory_bandwidth_gb_per_s",
    "nominal_memory_gib",
    "visible_memory_gib",
    "link_gb_per_s",
    "link_domain_gpus",
)


def gpu_names() -> list[str]:
    """Names and aliases of all GPUs."""
    return [name for gpu in load_hardware().gpus for name in gpu.names]


def gpus() -> list[dict[str, Any]]:
    """One entry per GPU, in the file's order."""
    return [_listed(gpu) for gpu in load_hardware().gpus]


def gpu(name: str) -> dict[str, Any]:
    """All figures of one GPU, by name or alias, with the source of each.

    Raises:
        ConfigError: there is none; says which come close.
    """
    hardware = load_hardware()
    found = hardware.find(name)
    if found is None:
        raise ConfigError(f"unknown GPU {name!r}; {hardware.hint(name)}")
    return dataclasses.asdict(found)


def _listed(gpu: Gpu) -> dict[str, Any]:
    peaks = {"peak_fp8_tflops": gpu.peak_of("fp8"), "peak_int8_tops": gpu.peak_of("int8")}
    return {name: peaks[name] if name in peaks else getattr(gpu, name) for name in _LISTED}
