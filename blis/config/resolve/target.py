"""What is known of the model, the GPU and what was published for them, once all that was not said is filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from blis.config.defaults import CoefficientRow, Defaults, ModelDefault
from blis.config.hardware import Gpu, load_hardware
from blis.config.model.model import Model
from blis.config.notes import Note
from blis.config.schema import LATENCY_MODELS, Deployment, KvCacheDtype, check_policy_name
from blis.config.served_model import served_model
from blis.config.versions import NEWEST, normalize_version
from blis.errors import CombinationError, ConfigError, nearest
from blis.latency.law import LatencyModel
from blis.memory.kv_blocks import KnownModel

#: Most memory for activations: beyond what any GPUs have together.
_MOST_GIB = 1e6


@dataclass(frozen=True)
class Target:
    """What is known of the model, the GPU and what was published for them.

    Attributes:
        model: HuggingFace id, lower case.
        hardware: GPU, by its main name where it is known; None if not said.
        tp: tensor parallelism degree; None if not said.
        vllm_version: release number; None if not said.
        row: published coefficients; None: there are none, or the user gave all.
        gpu: figures of the GPU; None if they are not known.
        architecture: the model's layers; None if they are not known.
    """

    model: str
    hardware: str | None
    tp: int | None
    vllm_version: str | None
    row: CoefficientRow | None
    gpu: Gpu | None
    architecture: Model | None

    @property
    def known(self) -> KnownModel | None:
        """Model and GPUs, if all are known."""
        if self.architecture is None or self.gpu is None or self.tp is None:
            return None
        return KnownModel(self.architecture, self.gpu, self.tp, self.vllm_version)

    @property
    def key(self) -> str:
        """GPU, TP and version, as rows of coefficients are named."""
        return ":".join(str(part) if part is not None else "?" for part in (self.hardware, self.tp, self.vllm_version))


def check_deployment(deployment: Deployment) -> None:
    """Refuse what is wrong whatever else is known.

    Raises:
        ConfigError: beginning with the field.
    """
    if not deployment.model.strip():
        raise ConfigError("model: must not be empty; give a HuggingFace id such as meta-llama/llama-3.1-8b-instruct")
    if deployment.tp is not None and deployment.tp < 1:
        raise ConfigError(f"tp: must be >= 1, got {deployment.tp}")
    share = deployment.gpu_memory_utilization
    if share is not None and not 0.0 < share <= 1.0:
        raise ConfigError(f"gpu_memory_utilization: must be in (0, 1], got {share}")
    if deployment.kv_cache_dtype not in (valid := get_args(KvCacheDtype)):
        raise ConfigError(
            f"kv_cache_dtype: unknown name {deployment.kv_cache_dtype!r}; {nearest(deployment.kv_cache_dtype, valid)}"
        )
    if deployment.activation_gib is not None and not 0.0 <= deployment.activation_gib <= _MOST_GIB:
        raise ConfigError(f"activation_gib: must be in [0, {_MOST_GIB:g}], got {deployment.activation_gib}")
    if isinstance(deployment.latency_model, str):
        check_policy_name("latency_model", deployment.latency_model, LATENCY_MODELS)
    if isinstance(deployment.latency_model, LatencyModel) and (deployment.alpha_coeffs or deployment.beta_coeffs):
        text = f"latency_model: {deployment.latency_model.name} has coefficients of its own; leave out"
        raise CombinationError(f"{text} alpha_coeffs and beta_coeffs")
    if deployment.latency_model == "roofline" and (deployment.alpha_coeffs or deployment.beta_coeffs):
        raise CombinationError("latency_model: roofline takes no coefficients; leave out alpha_coeffs and beta_coeffs")


def find_target(deployment: Deployment, defaults: Defaults, notes: list[Note]) -> Target:
    """Fill in what was not said, and look up what is known about the result."""
    model = deployment.model.strip().lower()
    law = deployment.latency_model
    is_own = law is not None and not (isinstance(law, str) and law in LATENCY_MODELS)
    gives_some = is_own or deployment.alpha_coeffs is not None or deployment.beta_coeffs is not None
    gives_all = not is_own and deployment.alpha_coeffs is not None and deployment.beta_coeffs is not None
    filled = deployment if gives_all else _fill_in(deployment, defaults.default(model))
    hardware, tp = filled.hardware, filled.tp
    version = normalize_version(filled.vllm_version) if filled.vllm_version is not None else None
    row = None
    if not gives_all and hardware is not None and tp is not None and version is not None:
        row = defaults.find(model, hardware, tp, version)
    by_roofline = deployment.latency_model == "roofline" or (deployment.latency_model is None and row is None)
    is_known = hardware is not None and tp is not None
    if by_roofline and is_known and not gives_some and deployment.vllm_version is None:
        filled, version, row = dataclasses.replace(filled, vllm_version=NEWEST), NEWEST, None
    notes += _origins(deployment, filled)
    gpu = _find_gpu(deployment, hardware, is_label=gives_some or row is not None, notes=notes)
    architecture = served_model(deployment)
    notes += [Note("warning", f"model: {doubt}") for doubt in (architecture.doubts if architecture is not None else ())]
    return Target(model, gpu.name if gpu else hardware, tp, version, row, gpu, architecture)


def _fill_in(deployment: Deployment, default: ModelDefault | None) -> Deployment:
    """The deployment with the model's default GPU, TP and vLLM version where none was given."""
    if default is None:
        return deployment
    missing = {name: value for name, value in dataclasses.asdict(default).items() if getattr(deployment, name) is None}
    return dataclasses.replace(deployment, **missing)


def _origins(given: Deployment, filled: Deployment) -> Iterator[Note]:
    """What was not given, and where its value comes from."""
    for name in ("hardware", "tp", "vllm_version"):
        value = getattr(filled, name)
        if getattr(given, name) is None and value is not None:
            is_newest = name == "vllm_version" and value == NEWEST
            origin = "the newest that is modelled" if is_newest else f"the default of {given.model}"
            yield Note("info", f"{name}: {value}, {origin}")


def _find_gpu(deployment: Deployment, name: str | None, *, is_label: bool, notes: list[Note]) -> Gpu | None:
    hardware = load_hardware(deployment.hardware_config)
    if name is None:
        return None
    gpu = hardware.find(name)
    if gpu is None:
        if not is_label:
            return hardware.get(name)  # raises, with the names that come nearest
        notes.append(Note("warning", f"hardware: {name} is not in the hardware file and serves as a label only"))
    if assumption := hardware.assumption(name):
        notes.append(Note("warning", f"hardware: {assumption}"))
    return gpu
