"""A model, from the ``config.json`` of a HuggingFace checkpoint: read rightly, or refused by name."""

from __future__ import annotations

import functools
from pathlib import Path

from blis.config.context_length import read_context_length
from blis.config.model.encoders import encoder_parameters
from blis.config.model.families.dense import assumed_dense
from blis.config.model.families.family import MUST_BE_SAID, Family
from blis.config.model.families.parts import hidden_size
from blis.config.model.families.registry import FAMILIES, NOT_MODELLED
from blis.config.model.keys import TEXT_PARTS
from blis.config.model.model import Model
from blis.config.model.per_layer import layers_of
from blis.config.model.precision import read_precision
from blis.config.model.strict import ModelConfig
from blis.files.decode import Section, read_json

#: Of a checkpoint; the second one is ModelOpt's, and most have none.
_FILES = ("config.json", "hf_quant_config.json")


def read_model(folder: Path, *, assume_dense: bool = False) -> Model:
    """Read the configuration in a folder; the same model again as long as the files are the same.

    Args:
        folder: holds ``config.json``, and perhaps ModelOpt's ``hf_quant_config.json``.
        assume_dense: take a model of a family that is not known for a plain dense transformer, and say so.

    Raises:
        ConfigError: it cannot be read, or describes what is not modelled.
    """
    return _read_model(folder, tuple(_content(folder / name) for name in _FILES), assume_dense)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:  # told when it is read
        return None


@functools.lru_cache(maxsize=64)
def _read_model(folder: Path, _contents: tuple[bytes | None, ...], assume_dense: bool) -> Model:
    file = _served_part(read_json(folder / "config.json"))
    name = _family_name(file)
    family = None if _not_modelled(file, name) else FAMILIES.get(name)
    if family is None and not assume_dense:
        _refuse(file, name)
    config = ModelConfig(file, _defaults(file, family))
    if family is None:
        config.doubt(f"assumed to be a plain dense transformer: model_type {name!r} is not known")
    return _read(config, family, name, file.text("model_type", ""), folder)


def _served_part(file: Section) -> Section:
    """All of it, but of Qwen Omni: what thinks is served, what talks is not."""
    if not file.holds_mapping("thinker_config"):
        return file
    part = file.section("thinker_config")
    version = {"transformers_version": file.plain().get("transformers_version")}
    return Section({**version, **part.plain()}, part.source, part.path)


def _family_name(file: Section) -> str:
    part = next((key for key in TEXT_PARTS if file.holds_mapping(key)), None)
    inner = file.section(part).text("model_type", "") if part else ""
    return inner or file.text("model_type", "")


def _not_modelled(file: Section, name: str) -> str | None:
    """The type, of the language model or of the whole, that is known not to fit."""
    return next((each for each in (name, file.text("model_type", "")) if each in NOT_MODELLED), None)


def _refuse(file: Section, name: str) -> None:
    unfit = _not_modelled(file, name)
    if unfit is not None:
        file.fail("model_type", f"models of type {unfit!r} are not modelled: what is missing is {NOT_MODELLED[unfit]}")
    found = f"models of type {name!r} are not known" if name else "missing"
    file.fail("model_type", f"{found}; --assume-dense-transformer takes it for a plain dense transformer")


def _defaults(file: Section, family: Family | None) -> dict[str, object]:
    """Those of the class; a configuration that describes nothing but a language model says the main sizes itself."""
    if family is None:
        return {}
    is_part = any(file.holds_mapping(key) for key in TEXT_PARTS)
    return {key: value for key, value in family.defaults.items() if is_part or key not in MUST_BE_SAID}


def _read(config: ModelConfig, family: Family | None, name: str, model_type: str, folder: Path) -> Model:
    for key in ("torch_dtype", "dtype"):
        config.text(key, "bfloat16", valid=("bfloat16", "float16", "float32"))  # vLLM serves all of them at 16 bit
    layers = layers_of(config, family.read_layers if family else assumed_dense)
    lookups = family.read_lookups(config) if family else 0
    d = hidden_size(config)
    vocab_size = config.size("vocab_size", "padded_vocab_size")
    is_tied = config.flag("tie_word_embeddings" if not config.has("tie_embedding") else "tie_embedding", False)
    config.ignore("tie_word_embeddings")
    context_length = read_context_length(config)
    encoders = encoder_parameters(config, model_type, d)
    quantization, kv_cache_type = read_precision(config, folder, layers, d)
    return Model(
        family=name,
        hidden_size=d,
        vocab_size=vocab_size,
        layers=layers,
        tie_word_embeddings=is_tied,
        lookup_parameters=lookups,
        encoder_parameters=encoders,
        context_length=context_length,
        quantization=quantization,
        kv_cache_type=kv_cache_type,
        doubts=config.finish_strictly(refuse=family is not None),
    )
