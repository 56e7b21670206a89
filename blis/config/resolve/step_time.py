"""Which model of step time there is for a deployment, and which one it gets."""

from __future__ import annotations

import dataclasses
from typing import Any

from blis.config.defaults import Defaults
from blis.config.front_end import VLLM_FRONT_END, FrontEnd, front_end_of
from blis.config.model_names import model_hint, shipped_models
from blis.config.notes import Note
from blis.config.resolve.target import Target
from blis.config.schema import LATENCY_MODELS, Deployment
from blis.config.versions import host_profile_name, version_text
from blis.errors import CombinationError, ConfigError
from blis.latency.blackbox import blackbox_model
from blis.latency.expected_error import NOT_FULL, expected_errors, kind_of
from blis.latency.law import LatencyModel
from blis.latency.roofline import roofline_model
from blis.policies.custom import load_latency_model


def choose_latency(
    deployment: Deployment, target: Target, defaults: Defaults, notes: list[Note]
) -> tuple[LatencyModel, dict[str, Any]]:
    """The model of step time, and how it came about, as plain JSON values.

    Raises:
        ConfigError: there is none; says what exists and what is missing.
    """
    law = deployment.latency_model
    if law is not None and not (isinstance(law, str) and law in LATENCY_MODELS):
        return _own_model(law, deployment, notes)
    model, details = _model_of_coefficients(deployment, target, defaults, notes) or (None, {})
    if model is None:
        return _roofline(deployment, target, defaults, notes)
    if deployment.front_end is not None:
        raise CombinationError("front_end: coefficients have one of their own, alpha_coeffs; leave it out")
    return model, details


def _model_of_coefficients(
    deployment: Deployment, target: Target, defaults: Defaults, notes: list[Note]
) -> tuple[LatencyModel, dict[str, Any]] | None:
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
    return None


def _with_front_end(model: LatencyModel, front_end: FrontEnd, notes: list[Note]) -> tuple[LatencyModel, dict[str, Any]]:
    """The same behind a front end, and what that is, as plain JSON values."""
    notes.append(Note("warning", f"front_end: {front_end}"))
    details = {"front_end": dataclasses.asdict(front_end)}
    return dataclasses.replace(model, alpha=front_end.alpha, intake_us=front_end.intake_us), details


def _own_model(law: Any, deployment: Deployment, notes: list[Note]) -> tuple[LatencyModel, dict[str, Any]]:
    if isinstance(law, LatencyModel):
        if deployment.front_end is not None:
            raise CombinationError("front_end: the latency_model given has its own, alpha; leave it out")
        model, origin = law, "given"
    else:
        if deployment.front_end is not None and deployment.alpha_coeffs is not None:
            raise CombinationError("front_end: alpha_coeffs are one, too; leave out either")
        alpha = (0.0, 0.0, 0.0) if deployment.alpha_coeffs is None else deployment.alpha_coeffs
        model = load_latency_model(law, alpha, deployment.beta_coeffs)
        origin = law if isinstance(law, str) else f"{law.__module__}:{law.__qualname__}"
    front: dict[str, Any] = {}
    if deployment.front_end is not None:
        model, front = _with_front_end(model, front_end_of(deployment.front_end), notes)
    figures = {"alpha": list(model.alpha), "parameters": model.parameters.tolist()}
    text = f"latency_model: {model.name}, alpha {figures['alpha']}, parameters {figures['parameters']}"
    notes.append(Note("info", text))
    return model, {"name": model.name, "origin": origin, **figures, **front}


def _given_coefficients(
    deployment: Deployment, target: Target, defaults: Defaults, notes: list[Note]
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
    deployment: Deployment, target: Target, defaults: Defaults, notes: list[Note]
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
    notes.append(Note("info", f"latency_model: host profile {profile} ({version_text(target.vllm_version)})"))
    asked = deployment.front_end or gpu.front_end or VLLM_FRONT_END
    model, front = _with_front_end(model, front_end_of(asked), notes)
    return model, {
        "name": "roofline",
        "origin": "architecture and hardware file",
        "host_profile": profile,
        "model_kind": kind,
        "accuracy_percent": round(expected.typical),
        "hardware_status": gpu.status,
        "kv_element_bytes": element_bytes,
        **front,
    }


def _nothing_is_known(deployment: Deployment, target: Target, defaults: Defaults) -> ConfigError:
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


def _known(target: Target, defaults: Defaults) -> str:
    rows = defaults.rows(target.model)
    if rows:
        return "coefficients exist for " + ", ".join(map(str, rows))
    if target.model in defaults.models or target.architecture is not None:
        return "no coefficients of this model are known"
    return model_hint(target.model, (*defaults.models, *shipped_models())) or "blis models lists those that are known"
