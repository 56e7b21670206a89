"""What vLLM's server logged of memory at start-up, and what `blis` says of the same deployments."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

from blis.config.hardware import load_hardware
from blis.config.huggingface import shipped_config_folder
from blis.config.model.layers import Experts, LatentAttention, Layer, Mlp, StateMixer
from blis.config.model.model import Model
from blis.config.model.reading import read_model
from blis.config.quantization import BYTES_16BIT, Quantization
from blis.memory.budget import Serving, memory_budget
from blis.memory.releases import release_of

GIB = 2**30
_FP8 = Quantization(1.0, 1.0, 1.0, "fp8")

# By model: how many lines, GPU, TP, version, utilisation, type of the cache, GiB of weights and of KV caches per GPU.
# From the test data of ashishkamra/vllm-memory-estimator (commit 8b0e21d). Servers of 0.20 say 0.9, and mean 0.92.
_TABLE = """
qwen3-235b
    2 H200 4 0.11.2 0.92 auto 109.61 12.75
    1 H200 4 0.11.2 0.92 auto 109.61 12.73
    1 MI300X 4 0.11.2 0.92 auto 112.61 56.83
    1 MI300X 8 0.11.2 0.92 auto 56.65 111.06
qwen3-vl-235b-fp8
    1 H200 4 0.20.2 0.9 auto 55.87 65.48
qwen3-vl-30b
    2 B200 1 0.18.0 0.92 auto 58.23 102.51
    1 H200 1 0.20.0 0.9 auto 58.23 66.76
    1 H200 1 0.20.2 0.9 auto 58.23 66.76
    3 H200 1 0.13.0 0.92 auto 58.23 64.23
    5 H200 1 0.14.1 0.92 auto 58.23 63.73
    4 H200 1 0.16.0 0.92 auto 58.23 63.73
    5 H200 1 0.18.0 0.92 auto 58.23 67.03
    2 H200 1 0.19.0 0.92 auto 58.23 67.03
    1 MI300X 1 0.13.0 0.92 auto 79.29 89.97
    1 MI300X 1 0.13.1 0.92 auto 59.84 113.64
    1 MI300X 1 0.14.1 0.92 auto 79.29 89.47
    1 MI300X 1 0.16.0 0.92 auto 79.29 89.47
    1 MI300X 1 0.18.0 0.92 auto 79.29 93.01
ministral-3-14b-fp8
    1 H200 1 0.20.0 0.9 auto 14.71 111.09
    3 H200 1 0.13.0 0.92 auto 14.71 108.80
    5 H200 1 0.14.1 0.92 auto 14.71 108.80
    4 H200 1 0.16.0 0.92 auto 14.71 108.81
    4 H200 1 0.18.0 0.92 auto 14.71 111.64
    2 H200 1 0.19.0 0.92 auto 14.71 111.64
    1 MI300X 1 0.13.0 0.92 auto 17.60 152.81
    1 MI300X 1 0.14.1 0.92 auto 17.60 152.81
    1 MI300X 1 0.16.0 0.92 auto 17.60 152.81
    1 MI300X 1 0.18.0 0.92 auto 17.57 155.88
    1 MI300X 1 0.13.1 0.92 fp8 17.57 155.99
qwen3-235b-fp8
    2 H200 4 0.11.2 0.92 auto 55.20 66.15
    1 H200 4 0.11.0 0.92 auto 55.20 69.62
    1 H200 4 0.11.2 0.92 auto 55.20 66.13
    1 MI300X 4 0.11.2 0.92 auto 55.92 113.35
    1 MI300X 8 0.11.2 0.92 auto 28.04 139.50
qwen3.5-397b-fp8
    2 H200 4 0.18.0 0.92 auto 94.87 26.76
deepseek-v3.2
    1 B200 8 0.18.0 0.92 auto 80.77 78.86
    2 B200 8 0.18.0 0.92 auto 80.77 78.88
    1 B200 8 0.18.0 0.92 auto 80.77 78.87
    2 H200 8 0.16.0 0.92 auto 80.62 42.19
    2 H200 8 0.16.0 0.92 auto 80.62 42.21
    3 H200 8 0.18.0 0.92 auto 80.76 41.76
    2 H200 8 0.18.0 0.92 auto 80.76 41.78
    2 H200 8 0.19.0 0.92 auto 80.76 41.76
gemma-4-31b
    1 H200 1 0.19.1 0.92 auto 58.90 65.56
    2 H200 1 0.18.2 0.95 auto 58.90 69.75
nemotron-3-super-fp8
    1 H200 2 0.20.0 0.9 fp8 59.91 64.07
    4 H200 2 0.18.0 0.92 fp8 59.91 64.70
    2 H200 2 0.19.0 0.92 fp8 59.91 64.70
    1 H200 2 0.17.1 0.92 fp8 59.91 64.72
sarvam-105b
    2 H200 2 0.18.0 0.92 auto 99.03 24.25
"""
#: By the models' names: the files that ship, and the precision of the checkpoint where theirs is another.
_SHIPPED = {
    "qwen3-235b": ("qwen3-235b-a22b-instruct-2507", None),
    "qwen3-vl-235b-fp8": ("qwen3-vl-235b-a22b-instruct", _FP8),
    "qwen3-vl-30b": ("qwen3-vl-30b-a3b-instruct", None),
    "ministral-3-14b-fp8": ("ministral-3-14b-instruct-2512", _FP8),
    "qwen3-235b-fp8": ("qwen3-235b-a22b", _FP8),
    "qwen3.5-397b-fp8": ("qwen3.5-397b-a17b", _FP8),
    "deepseek-v3.2": ("deepseek-v3.2", None),
    "gemma-4-31b": ("gemma-4-31b-it", None),
    "nemotron-3-super-fp8": ("nvidia-nemotron-3-super-120b-a12b-fp8", None),
}


class StartUp(NamedTuple):
    """Lines that say the same.

    Attributes:
        model: as in the table.
        count: of lines.
        gpu: GPU.
        tp: tensor parallelism degree.
        version: of vLLM.
        utilization: share of the memory that vLLM may use.
        cache_type: of cached keys and values.
        weights_gib: per GPU, as logged.
        kv_gib: per GPU, as logged.
    """

    model: str
    count: int
    gpu: str
    tp: int
    version: str
    utilization: float
    cache_type: str
    weights_gib: float
    kv_gib: float


def _read(table: str) -> list[StartUp]:
    found, model = [], ""
    for line in table.strip().splitlines():
        words = line.split()
        if len(words) == 1:
            model = words[0]
            continue
        count, gpu, tp, version, share, cache_type, weights, kv = words
        share = "0.92" if version.startswith("0.20") else share
        found.append(
            StartUp(model, int(count), gpu, int(tp), version, float(share), cache_type, float(weights), float(kv))
        )
    return found


START_UPS = _read(_TABLE)


def _sarvam_105b() -> Model:
    latent = LatentAttention(64, 512, None, 128, 64, 128)
    layers = tuple(Layer((latent,), Mlp(16_384) if i < 1 else Experts(128, 8, 2048, 2048)) for i in range(32))
    return Model("sarvam_mla", 4096, 262_144, layers, context_length=131_072)


@cache
def served(name: str) -> Model:
    """The model of a name of the table."""
    if name not in _SHIPPED:
        return _sarvam_105b()
    shipped, precision = _SHIPPED[name]
    model = read_model(shipped_config_folder(shipped))
    if precision is None:
        return model
    if any(isinstance(mixer, StateMixer) for mixer in model.mixers):  # which that checkpoint leaves at 16 bit
        at_16bit = sum(mixer.weights for mixer in model.states) / model.mixer_parameters
        precision = replace(precision, attention_bytes=at_16bit * BYTES_16BIT + 1 - at_16bit)
    return replace(model, quantization=precision)


def errors(start_up: StartUp) -> tuple[float, float]:
    """How far off KV caches and weights are, in per cent of what was logged."""
    model = served(start_up.model)
    kv_type = "fp8" if start_up.cache_type == "fp8" else "bf16"
    serving = Serving(
        *(release_of(start_up.version), 1024, 8192),
        max_model_len=8192,
        gpu_memory_utilization=start_up.utilization,
        kv_element_bytes=model.kv_element_bytes(kv_type),
    )
    budget = memory_budget(model, load_hardware().get(start_up.gpu), start_up.tp, serving)
    assert budget.fits, start_up
    said = (budget.kv_bytes / GIB, budget.taken.weight_bytes / GIB)
    logged = (start_up.kv_gib, start_up.weights_gib)
    return tuple(100 * abs(ours / theirs - 1) for ours, theirs in zip(said, logged, strict=True))
