"""Models that ship with blis: architecture, usual deployment, coefficients."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

from blis.config.defaults import Defaults, load_defaults
from blis.config.huggingface import shipped_config_folder
from blis.config.model.layers import Experts, Mixer, Mlp
from blis.config.model.model import Model, kind_of
from blis.config.model.reading import read_model
from blis.errors import ConfigError, nearest
from blis.files.resources import data_path

_SOURCES = {
    "architecture": "the model's HuggingFace config.json, in model_configs",
    "coefficients": "inference-sim project, published February 2026, in defaults.yaml",
}


def model_ids(defaults: Defaults | None = None) -> list[str]:
    """Ids of all models of the defaults file, and names of those that are known by their architecture only."""
    known = (defaults or load_defaults()).models
    with_rows = {name.rpartition("/")[2] for name in known}
    folders = (folder.name for folder in data_path("model_configs").iterdir() if (folder / "config.json").is_file())
    return sorted({*known, *(name for name in folders if name not in with_rows)})


def models() -> list[dict[str, Any]]:
    """One entry per model, sorted by id; figures of the architecture are None if only coefficients are known."""
    defaults = load_defaults()
    return [_entry(name, defaults) for name in model_ids(defaults)]


def model(name: str) -> dict[str, Any]:
    """Everything known of one model: the figures of its entry, its architecture, and its rows of coefficients.

    Args:
        name: its id, or the last part of it.

    Raises:
        ConfigError: there is none; says which come close.
    """
    defaults = load_defaults()
    found = _find(name, model_ids(defaults))
    folder = shipped_config_folder(found)
    return {
        **_entry(found, defaults),
        "architecture": None if folder is None else _architecture(read_model(folder)),
        "coefficients": [dataclasses.asdict(row) for row in defaults.rows(found)],
        "sources": _SOURCES,
    }


def _find(name: str, ids: list[str]) -> str:
    wanted = name.strip().lower()
    if wanted in ids:
        return wanted
    by_part = {known.rpartition("/")[2]: known for known in ids}
    if wanted in by_part:
        return by_part[wanted]
    close = nearest(wanted, {*ids, *by_part})
    hint = close if close.startswith("did") else "blis models lists all"
    raise ConfigError(f"unknown model {name!r}; {hint}")


def _entry(name: str, defaults: Defaults) -> dict[str, Any]:
    usual = defaults.default(name)
    return {
        "model": name,
        **_figures(shipped_config_folder(name)),
        "default": None if usual is None else dataclasses.asdict(usual),
        "coefficient_rows": len(defaults.rows(name)),
    }


def _figures(folder: Path | None) -> dict[str, Any]:
    names = ("num_parameters", "num_layers", "num_experts", "weight_bytes", "kv_bytes_per_token", "tp_degrees")
    if folder is None:
        return dict.fromkeys(names)
    model = read_model(folder)
    values = (
        model.num_parameters,
        model.num_layers,
        max((each.num_experts for each in model.moe_layers), default=0),
        model.weight_bytes - model.weight_bytes_by_part["encoders"],
        model.kv_bytes_per_token(tp=1, element_bytes=2, growing_only=False),
        [degree for degree in (1, 2, 4, 8) if model.splits_over(degree)],
    )
    return dict(zip(names, values, strict=True))


def _architecture(model: Model) -> dict[str, Any]:
    """A model's figures; of layers that are alike once, with their number."""
    figures = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    layers = [
        {"count": count, "mixers": [_part(mixer) for mixer in layer.mixers], "mlp": layer.mlp and _part(layer.mlp)}
        for layer, count in Counter(model.layers).items()
    ]
    return {**figures, "quantization": dataclasses.asdict(model.quantization), "layers": layers}


def _part(part: Mixer | Mlp | Experts) -> dict[str, Any]:
    return {"part": kind_of(part), **dataclasses.asdict(part)}
