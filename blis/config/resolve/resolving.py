"""From what a user asked for to what is simulated: the one place where defaults are filled in and models chosen.

Rules, in order:

1. Coefficients given by the user make a blackbox model of exactly these; model, GPU and TP are then labels, as
   far as nothing needs them.
2. GPU, TP and vLLM version that were not given come from the model's default deployment.
3. The step time comes from published coefficients if there are any for (model, GPU, TP, version), else from the
   roofline if architecture and GPU are known; ``latency_model`` forces one of them, or is or names a function of
   the user's own, whose parameters are then the step-time coefficients given, or a model of time that is complete.
4. KV blocks are what was given; else derived if architecture and GPU are known; else the published count.
5. The vLLM version selects the scheduler's rules and the host profile; each rule can be set by itself.
6. What vLLM itself would refuse with all that is refused, unless ``allow_unservable`` says otherwise.

Every choice taken for the user becomes a `Note`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blis.config.defaults import load_defaults
from blis.config.engine_defaults import OF_COEFFICIENTS, filled_in, vllm_defaults
from blis.config.hardware import Gpu, load_hardware
from blis.config.model.model import Model
from blis.config.notes import Note
from blis.config.resolve.rules import choose_rules
from blis.config.resolve.step_time import choose_latency
from blis.config.resolve.target import Target, check_deployment, find_target
from blis.config.schema import Deployment, EngineConfig, EngineOptions
from blis.config.servability import check_servable
from blis.config.versions import NEWEST, normalize_version
from blis.errors import CombinationError, ConfigError
from blis.latency.law import LatencyModel
from blis.memory.kv_blocks import choose_kv_blocks


@dataclass(frozen=True, repr=False)
class Resolved:
    """Everything about one instance is decided.

    Attributes:
        engine: scheduler and KV cache.
        latency: model of step time.
        model: HuggingFace id, lower case.
        hardware: GPU, by its main name where it is known; None if not said.
        tp: tensor parallelism degree; None if not said.
        vllm_version: release number, like ``0.8.4``; None if not said.
        context_length: most tokens of a request that the model is made for; None if not known.
        notes: what was decided for the user.
        details: how the step time, the KV blocks and the scheduler's rules came about; plain JSON values.
    """

    engine: EngineConfig
    latency: LatencyModel
    model: str
    hardware: str | None
    tp: int | None
    vllm_version: str | None
    context_length: int | None
    notes: tuple[Note, ...]
    details: Mapping[str, Any]

    def __repr__(self) -> str:
        tp, version = self.tp and f"TP {self.tp}", self.vllm_version and f"vLLM {self.vllm_version}"
        blocks = f"{self.engine.total_kv_blocks:,} KV blocks"
        parts = (self.model, self.hardware, tp, version, self.latency.name, blocks)
        return f"<Resolved: {', '.join(part for part in parts if part)}>"

    @property
    def warnings(self) -> list[str]:
        """Texts of the notes that are warnings."""
        return [note.text for note in self.notes if note.level == "warning"]

    def describe(self) -> dict[str, Any]:
        """Everything that was decided, as plain JSON values."""
        return {
            "model": self.model,
            "hardware": self.hardware,
            "tp": self.tp,
            "vllm_version": self.vllm_version,
            **self.details,
            "engine": dataclasses.asdict(self.engine),
            "notes": [dataclasses.asdict(note) for note in self.notes],
        }


def resolve(deployment: Deployment, options: EngineOptions) -> Resolved:
    """Decide everything about one instance.

    Args:
        deployment: which model runs on what, as asked for.
        options: vLLM server parameters, as asked for.

    Raises:
        ConfigError: if something asked for is invalid, unknown or missing; says what would be valid.
        CapacityError: if the model does not fit the GPUs.
    """
    return resolve_engine(look_up(deployment), options)


@dataclass(frozen=True)
class LookedUp:
    """A deployment, with what files and the model's published figures say of it."""

    deployment: Deployment
    target: Target
    latency: LatencyModel
    latency_details: dict[str, Any]
    notes: tuple[Note, ...]


def look_up(deployment: Deployment) -> LookedUp:
    """The part of `resolve` that does not depend on the engine's options; it reads files."""
    check_deployment(deployment)
    notes: list[Note] = []
    defaults = load_defaults(deployment.defaults_filepath)
    target = find_target(deployment, defaults, notes)
    latency, details = choose_latency(deployment, target, defaults, notes)
    if latency.name != "roofline":
        notes += _without_effect_on_time(deployment)
    return LookedUp(deployment, target, latency, details, tuple(notes))


def _without_effect_on_time(deployment: Deployment) -> Iterator[Note]:
    """Settings that change step times, of which coefficients and laws of the user's own know nothing."""
    settings = {"kv_cache_dtype": deployment.kv_cache_dtype, "quantization": deployment.quantization}
    for name, value in settings.items():
        if value not in ("auto", None):
            text = f"{name}: {value} changes memory only, since step times are not roofline's (latency_model)"
            yield Note("warning", text)


@dataclass(frozen=True)
class FoundModel:
    """A model whose layers are known, and the GPU that it is to run on.

    Attributes:
        name: HuggingFace id, lower case.
        model: its layers.
        gpu: the GPU.
        tp: tensor parallelism degree; None: neither given nor the default of the model.
        vllm_version: release number; the newest that is modelled if none is given.
        notes: what was decided for the user.
    """

    name: str
    model: Model
    gpu: Gpu
    tp: int | None
    vllm_version: str
    notes: tuple[Note, ...]


def look_up_model(deployment: Deployment) -> FoundModel:
    """The part of `look_up` that has nothing to do with time.

    Raises:
        ConfigError: if something asked for is invalid, unknown or missing; says what would be valid.
    """
    version = NEWEST if deployment.vllm_version is None else normalize_version(deployment.vllm_version)
    check_deployment(deployment)
    notes: list[Note] = []
    defaults = load_defaults(deployment.defaults_filepath)
    target = find_target(dataclasses.replace(deployment, vllm_version=version), defaults, notes)
    if target.architecture is None:
        hint = "needs a config.json (model_config_folder); blis models lists those that are known"
        raise ConfigError(f"model: unknown model {target.model!r}; {hint}")
    if target.hardware is None:
        raise CombinationError(f"hardware: not given, and {target.model} has no default")
    gpu = target.gpu or load_hardware(deployment.hardware_config).get(target.hardware)
    return FoundModel(target.model, target.architecture, gpu, target.tp, version, tuple(notes))


def resolve_engine(known: LookedUp, options: EngineOptions) -> Resolved:
    """The rest of `resolve`."""
    deployment, target, notes = known.deployment, known.target, list(known.notes)
    by_itself = OF_COEFFICIENTS
    if known.latency.name == "roofline" and target.vllm_version is not None:
        by_itself = vllm_defaults(target.vllm_version, target.gpu)
    deployment, options, taken = filled_in(deployment, options, by_itself)
    notes += taken
    engine, profile = choose_rules(options, target.vllm_version, notes)
    kv_blocks = choose_kv_blocks(deployment, engine, target.known, target.row)
    notes += kv_blocks.notes
    engine, model = dataclasses.replace(engine, total_kv_blocks=kv_blocks.total), target.architecture
    longest, allow = kv_blocks.longest_request_tokens, options.allow_unservable
    notes += check_servable(engine, model, target.tp, target.vllm_version, longest, allow=allow)
    return Resolved(
        engine=engine,
        latency=known.latency,
        model=target.model,
        hardware=target.hardware,
        tp=target.tp,
        vllm_version=target.vllm_version,
        context_length=model.context_length if model is not None else None,
        notes=tuple(notes),
        details={"latency_model": known.latency_details, "kv_blocks": kv_blocks.details, "scheduler_profile": profile},
    )
