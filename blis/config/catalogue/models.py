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
from blis.config.model_names import model_hint, shipped_models
from blis.errors import ConfigError

_SOURCES = {
    "architecture": "the model's HuggingFace config.json, in model_configs",
    "coefficients": "inference-sim project, published February 2026, in defaults.yaml",
}
_FIGURES = (
    "num_parameters",
    "num_active_parameters",
    "num_layers",
    "layers",
    "num_experts",
    "weight_bytes",
    "weight_bytes_by_part",
    "kv_bytes_per_token",
    "windowed_kv_bytes_per_token",
    "state_bytes_per_request",
    "tp_degrees",
)


def model_ids(defaults: Defaults | None = None) -> list[str]:
    """Ids of all models of the defaults file, and names of those that are known by their architecture only."""
    known = (defaults or load_defaults()).models
    with_rows = {name.rpartition("/")[2] for name in known}
    return sorted({*known, *(name for name in shipped_models() if name not in with_rows)})


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


def model_in(folder: Path, *, assume_dense: bool = False) -> dict[str, Any]:
    """The same of a model that does not ship with blis, from the folder of its ``config.json``.

    Args:
        folder: holds the file.
        assume_dense: take a model of a family that is not known for a plain dense transformer.

    Raises:
        ConfigError: it cannot be read, or describes a model that is not supported.
    """
    model = read_model(folder, assume_dense=assume_dense)
    return {
        "model": folder.resolve().name,
        **_figures(model),
        "default": None,
        "coefficient_rows": 0,
        "architecture": _architecture(model),
        "coefficients": [],
        "sources": {"architecture": str(folder / "config.json")},
    }


def _find(name: str, ids: list[str]) -> str:
    wanted = name.strip().lower()
    if wanted in ids:
        return wanted
    by_part = {known.rpartition("/")[2]: known for known in ids}
    if wanted in by_part:
        return by_part[wanted]
    raise ConfigError(f"unknown model {name!r}; {model_hint(wanted, ids) or 'blis models lists all'}")


def _entry(name: str, defaults: Defaults) -> dict[str, Any]:
    usual, folder = defaults.default(name), shipped_config_folder(name)
    return {
        "model": name,
        **_figures(None if folder is None else read_model(folder)),
        "default": None if usual is None else dataclasses.asdict(usual),
        "coefficient_rows": len(defaults.rows(name)),
    }


def _figures(model: Model | None) -> dict[str, Any]:
    """What a model weighs and caches, in bytes at TP 1; None each if its architecture is not known."""
    if model is None:
        return dict.fromkeys(_FIGURES)
    element_bytes = model.kv_element_bytes("auto")
    growing = model.kv_bytes_per_token(1, element_bytes)
    values = (
        model.num_parameters,
        model.num_active_parameters,
        model.num_layers,
        model.layers_by_kind,
        max((each.num_experts for each in model.moe_layers), default=0),
        round(model.weight_bytes),
        {part: round(size) for part, size in model.weight_bytes_by_part.items() if size},
        growing,
        model.kv_bytes_per_token(1, element_bytes, growing_only=False) - growing,
        model.state_bytes_per_request(1),
        [degree for degree in (1, 2, 4, 8) if model.splits_over(degree)],
    )
    return dict(zip(_FIGURES, values, strict=True))


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
