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
from typing import Any, get_args

from blis.config.defaults import CoefficientRow, Defaults, ModelDefault, load_defaults
from blis.config.engine_defaults import OF_COEFFICIENTS, filled_in, vllm_defaults
from blis.config.hardware import Gpu, load_hardware
from blis.config.model.model import Model
from blis.config.model_names import model_hint, shipped_models
from blis.config.notes import Note
from blis.config.schema import (
    LATENCY_MODELS,
    Deployment,
    EngineConfig,
    EngineOptions,
    KvCacheDtype,
    check_policy_name,
)
from blis.config.servability import check_servable
from blis.config.served_model import served_model
from blis.config.versions import (
    FIRST_WITH_PRIORITY_SCHEDULING,
    FIRST_WITH_V1_ENGINE,
    NEWEST,
    host_profile_name,
    normalize_version,
    parse_version,
    scheduler_profile,
)
from blis.errors import CombinationError, ConfigError, nearest
from blis.latency.blackbox import blackbox_model
from blis.latency.expected_error import NOT_FULL, expected_errors, kind_of
from blis.latency.law import LatencyModel
from blis.latency.roofline import roofline_model
from blis.memory.kv_blocks import UNKNOWN_TOTAL_KV_BLOCKS, KnownModel, choose_kv_blocks
from blis.policies.custom import load_latency_model

#: Most memory for activations: beyond what any GPUs have together.
_MOST_GIB = 1e6


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


@dataclass(frozen=True)
class _Target:
    """What is known of the model, the GPU and what was published for them."""

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
        return ":".join(str(part) if part is not None else "?" for part in (self.hardware, self.tp, self.vllm_version))


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
    target: _Target
    latency: LatencyModel
    latency_details: dict[str, Any]
    notes: tuple[Note, ...]


def look_up(deployment: Deployment) -> LookedUp:
    """The part of `resolve` that does not depend on the engine's options; it reads files."""
    _check(deployment)
    notes: list[Note] = []
    defaults = load_defaults(deployment.defaults_filepath)
    target = _find_target(deployment, defaults, notes)
    latency, details = _choose_latency(deployment, target, defaults, notes)
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
    _check(deployment)
    notes: list[Note] = []
    defaults = load_defaults(deployment.defaults_filepath)
    target = _find_target(dataclasses.replace(deployment, vllm_version=version), defaults, notes)
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
    engine, profile = _choose_rules(options, target.vllm_version, notes)
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


def _check(deployment: Deployment) -> None:
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


def _find_target(deployment: Deployment, defaults: Defaults, notes: list[Note]) -> _Target:
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
    return _Target(model, gpu.name if gpu else hardware, tp, version, row, gpu, architecture)


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


def _choose_latency(
    deployment: Deployment, target: _Target, defaults: Defaults, notes: list[Note]
) -> tuple[LatencyModel, dict[str, Any]]:
    law = deployment.latency_model
    if law is not None and not (isinstance(law, str) and law in LATENCY_MODELS):
        return _own_model(law, deployment, notes)
    if deployment.alpha_coeffs is not None or deployment.beta_coeffs is not None:
        return _given_coefficients(deployment, target, defaults, notes)
    row = target.row
    if row is not None and deployment.latency_model != "roofline":
        notes.append(Note("info", f"latency_model: blackbox, coefficients published for {row}"))
        if deployment.model_config_folder and deployment.hardware_config:
            text = "latency_model: coefficients come before the given config and hardware files; roofline forces these"
            notes.append(Note("warning", text))
        return blackbox_model(row.alpha, row.beta), _describe_blackbox(f"published for {row}", row.alpha, row.beta)
    if deployment.latency_model == "blackbox":
        raise CombinationError(
            f"latency_model: no coefficients for {target.model} on {target.key}; {_known(target, defaults)}"
        )
    return _roofline(deployment, target, defaults, notes)


def _own_model(law: Any, deployment: Deployment, notes: list[Note]) -> tuple[LatencyModel, dict[str, Any]]:
    if isinstance(law, LatencyModel):
        model, origin = law, "given"
    else:
        alpha = (0.0, 0.0, 0.0) if deployment.alpha_coeffs is None else deployment.alpha_coeffs
        model = load_latency_model(law, alpha, deployment.beta_coeffs)
        origin = law if isinstance(law, str) else f"{law.__module__}:{law.__qualname__}"
    figures = {"alpha": list(model.alpha), "parameters": model.parameters.tolist()}
    text = f"latency_model: {model.name}, alpha {figures['alpha']}, parameters {figures['parameters']}"
    notes.append(Note("info", text))
    return model, {"name": model.name, "origin": origin, **figures}


def _given_coefficients(
    deployment: Deployment, target: _Target, defaults: Defaults, notes: list[Note]
) -> tuple[LatencyModel, dict[str, Any]]:
    alpha, beta, row = deployment.alpha_coeffs, deployment.beta_coeffs, target.row
    origin = "given"
    if beta is None:
        if row is None:
            known = _known(target, defaults)
            raise CombinationError(
                f"beta_coeffs: not given, and none known for {target.model} on {target.key}; {known}"
            )
        beta, origin = row.beta, f"alpha given, beta published for {row}"
        notes.append(Note("info", f"beta_coeffs: published for {row}"))
    if alpha is None:
        alpha = row.alpha if row is not None else (0.0, 0.0, 0.0)
        origin = f"beta given, alpha published for {row}" if row is not None else "beta given, alpha zero"
        notes.append(
            Note("info", f"alpha_coeffs: published for {row}" if row is not None else "alpha_coeffs: all zero")
        )
    return blackbox_model(alpha, beta), _describe_blackbox(origin, alpha, beta)


def _describe_blackbox(origin: str, alpha: tuple[float, ...], beta: tuple[float, ...]) -> dict[str, Any]:
    return {"name": "blackbox", "origin": origin, "alpha": list(alpha), "beta": list(beta)}


def _roofline(
    deployment: Deployment, target: _Target, defaults: Defaults, notes: list[Note]
) -> tuple[LatencyModel, dict[str, Any]]:
    architecture, gpu, tp = target.architecture, target.gpu, target.tp
    if architecture is None or gpu is None or tp is None:
        raise _nothing_is_known(deployment, target, defaults)
    profile = host_profile_name(target.vllm_version)
    element_bytes = architecture.kv_element_bytes(deployment.kv_cache_dtype)
    model = roofline_model(architecture, gpu, tp, profile, kv_element_bytes=element_bytes)
    if deployment.latency_model is None:
        known = _known(target, defaults)
        notes.append(Note("warning", f"latency_model: roofline, since no coefficients match {target.key}; {known}"))
    kind = kind_of(architecture)
    expected = expected_errors(gpu.name, kind, NOT_FULL)["tpot"]
    notes.append(Note("warning", f"latency_model: roofline, whose TPOT was {expected}"))
    if gpu.status == "prior":
        notes.append(Note("warning", f"hardware: efficiencies of {gpu.name} are guesses, not measured"))
    notes.append(Note("info", f"latency_model: host profile {profile} ({_version_text(target.vllm_version)})"))
    return model, {
        "name": "roofline",
        "origin": "architecture and hardware file",
        "host_profile": profile,
        "model_kind": kind,
        "accuracy_percent": round(expected.typical),
        "hardware_status": gpu.status,
        "kv_element_bytes": element_bytes,
    }


def _nothing_is_known(deployment: Deployment, target: _Target, defaults: Defaults) -> ConfigError:
    """One line on why neither coefficients nor the roofline can be used."""
    missing = []
    if target.architecture is None:
        missing.append("a config.json (model_config_folder)")
    missing += [name for name in ("hardware", "tp") if getattr(target, name) is None]
    needs = f"roofline needs {', '.join(missing)}"
    if deployment.latency_model == "roofline":
        return CombinationError(f"latency_model: {needs}")
    if target.model not in defaults.models and target.architecture is None:
        return ConfigError(f"model: unknown model {target.model!r}; {needs}; {_known(target, defaults)}")
    problem = f"no coefficients for {target.model} on {target.key}, and {needs}"
    return CombinationError(f"model: {problem}; {_known(target, defaults)}")


def _known(target: _Target, defaults: Defaults) -> str:
    rows = defaults.rows(target.model)
    if rows:
        return "coefficients exist for " + ", ".join(map(str, rows))
    if target.model in defaults.models or target.architecture is not None:
        return "no coefficients of this model are known"
    return model_hint(target.model, (*defaults.models, *shipped_models())) or "blis models lists those that are known"


def _choose_rules(options: EngineOptions, version: str | None, notes: list[Note]) -> tuple[EngineConfig, str]:
    """The scheduler's rules of the version, under everything that was set by itself; KV blocks are still open."""
    profile = scheduler_profile(version)
    rules = {name: value for name, value in vars(profile).items() if name != "name"}
    given = {name: value for name, value in vars(options).items() if value is not None and name != "allow_unservable"}
    notes.append(Note("info", f"scheduler: rules of {profile.name} ({_version_text(version)})"))
    release = parse_version(version) if version is not None else FIRST_WITH_PRIORITY_SCHEDULING
    if release < FIRST_WITH_V1_ENGINE:
        notes.append(Note("warning", f"vllm_version: {version} used the V0 engine by default; V1 rules are simulated"))
    if options.scheduling_policy == "priority" and release < FIRST_WITH_PRIORITY_SCHEDULING:
        notes.append(Note("warning", f"scheduling_policy: vLLM {version} has no priority scheduling; simulated anyway"))
    if options.priority_policy != "constant" and options.scheduler not in ("priority-fcfs", "reverse-priority"):
        notes.append(Note("warning", f"priority_policy: has no effect with the scheduler {options.scheduler}"))
    return EngineConfig(**{"total_kv_blocks": UNKNOWN_TOTAL_KV_BLOCKS, **rules, **given}), profile.name


def _version_text(version: str | None) -> str:
    return f"vLLM {version}" if version is not None else "no vLLM version given"
