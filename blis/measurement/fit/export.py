"""Found coefficients as files that the simulator reads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from blis.errors import BlisError, InputError
from blis.files.output import check_output, replacing
from blis.measurement.fit.fit import Fit
from blis.measurement.fit.laws import ALPHA


class DegenerateFitError(BlisError):
    """Coefficients that the measurement does not determine are not written to a file."""


def check_export(path: Path, law: str) -> None:
    """Make sure that a law's coefficients can be written to a file.

    Raises:
        InputError: the suffix is not that of the file they belong in, or there is no writing there.
    """
    suffix = ".json" if law == "roofline" else ".yaml"
    if path.suffix.lower() != suffix:
        kind = "a hardware file" if law == "roofline" else "a defaults file"
        raise InputError(f"{path}: the law {law} is written to {kind}; give it the suffix {suffix}")
    check_output(path)


def export(fit: Fit, path: Path) -> None:
    """Write a defaults file with one row, or a hardware file with one GPU.

    Raises:
        DegenerateFitError: the measurement does not determine the coefficients.
        InputError: the deployment does not say what they belong to.
    """
    if fit.doubts:
        raise DegenerateFitError(f"{path}: not written: {'; '.join(fit.doubts)}")
    text = _hardware(fit) if fit.gpu is not None else _defaults(fit)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _defaults(fit: Fit) -> str:
    import yaml

    resolved = fit.resolved
    key = {name: getattr(resolved, name) for name in ("hardware", "tp", "vllm_version")}
    missing = [name for name, value in key.items() if value is None]
    if missing:
        raise InputError(f"{missing[0]}: coefficients belong to a model, GPU, TP and vLLM version; say which")
    values = [float(value) for value in fit.found.values]
    row = {
        **key,
        "total_kv_blocks": resolved.engine.total_kv_blocks,
        "alpha": [*values[: len(ALPHA)], 0.0],
        "beta": values[len(ALPHA) :],
    }
    models = {resolved.model: {"default": key, "coefficients": [row]}}
    return yaml.safe_dump({"models": models, "workloads": {}}, sort_keys=False)


def _hardware(fit: Fit) -> str:
    assert fit.gpu is not None
    entry = {key: value for key, value in dataclasses.asdict(fit.gpu).items() if value is not None}
    name = entry.pop("name")
    found = ", ".join(f"{one.name} {one.value:.4g} ({one.low:.4g} to {one.high:.4g})" for one in fit.intervals)
    changed = {"host_profiles" if one.name.startswith("host_") else "efficiency" for one in fit.intervals}
    note = f"; fitted by blis to {fit.num_measured['training']} measurements of {fit.resolved.model}: {found}"
    if fit.amplification:  # requests were measured, not steps
        request_us, prompt_token_us, _ = fit.model.alpha
        entry["front_end"] = {"request_us": request_us, "prompt_token_us": prompt_token_us, "source": note[2:]}
    entry["sources"] = {key: text + note if key in changed else text for key, text in entry["sources"].items()}
    return json.dumps({name: entry}, indent=2) + "\n"
