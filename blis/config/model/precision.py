"""The precision of a model: what its checkpoint says of it, or what quantising it on the way in makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from blis.config.model.layers import Layer
from blis.config.model.methods import Plan, read_plan
from blis.config.model.model import Model
from blis.config.model.modules import Module, Part, modules_of
from blis.config.model.schemes import BYTES_BNB4, FP8, MXFP8, UNQUANTISED, Scheme
from blis.config.model.strict import ModelConfig
from blis.config.quantization import BYTES_8BIT, BYTES_16BIT, Quantization
from blis.errors import CombinationError, ConfigError, nearest
from blis.files.decode import read_json
from blis.files.existing import is_file

#: Schemes that vLLM makes of 16-bit checkpoints while it loads them (its option ``--quantization``).
ON_THE_WAY_IN = {
    "fp8": FP8,
    "mxfp8": MXFP8,
    "bitsandbytes": Scheme(BYTES_BNB4),
    "experts_int8": Scheme(BYTES_8BIT),
}


def read_precision(
    config: ModelConfig, folder: Path, layers: Sequence[Layer], hidden_size: int
) -> tuple[Quantization, str | None]:
    """The bytes and arithmetic of the weights, and the type of the cache that the checkpoint asks for.

    Args:
        config: the configuration, which notes what is not known for sure.
        folder: where ModelOpt's ``hf_quant_config.json`` may lie; what ``config.json`` says goes before it.
        layers: of the model.
        hidden_size: d.
    """
    plan = _find_plan(config, folder)
    if plan is None:
        return Quantization(), None
    for doubt in plan.doubts:
        config.doubt(doubt)
    return _averages(config, plan, layers, hidden_size), plan.kv_cache_type


def _find_plan(config: ModelConfig, folder: Path) -> Plan | None:
    for key in ("quantization_config", "compression_config"):
        if config.has(key):
            return read_plan(config.section(key))
    path = folder / "hf_quant_config.json"
    return read_plan(read_json(path).section("quantization")) if is_file(path) else None


def _averages(config: ModelConfig, plan: Plan, layers: Sequence[Layer], hidden_size: int) -> Quantization:
    weights = _weights_by_scheme(plan, layers, hidden_size)
    types: Counter[object] = Counter()
    for (_, scheme), count in weights.items():
        if scheme.bytes < BYTES_16BIT:
            types[scheme.activation] += count
    if len(types) > 1:
        config.doubt("quantised weights are multiplied in several types; the one that most of them have stands for all")
    most = next((scheme.activation for (_, scheme) in weights if scheme.activation == _most(types)), None)
    parts: tuple[Part, ...] = ("attention", "mlp", "expert")
    attention, mlp, expert = (_mean_bytes(weights, part, plan.scheme) for part in parts)
    block = max((scheme.block for _, scheme in weights), default=0)
    return Quantization(attention, mlp, expert, most, block)


def _weights_by_scheme(plan: Plan, layers: Sequence[Layer], hidden_size: int) -> Counter[tuple[Part, Scheme]]:
    """How many weights each scheme holds; layers that are alike to the plan, too, are looked at once."""
    known: dict[tuple[Layer, object], Counter[tuple[Part, Scheme]]] = {}
    total: Counter[tuple[Part, Scheme]] = Counter()
    for i, layer in enumerate(layers):
        key = (layer, plan.of_layer(i))
        if key not in known:
            known[key] = Counter()
            for module in modules_of(layer, hidden_size):
                known[key][module.part, _scheme_of(plan, module, i)] += module.weights
        total.update(known[key])
    return total


def _most(types: Counter[object]) -> object:
    return types.most_common(1)[0][0] if types else None


def _mean_bytes(weights: Counter[tuple[Part, Scheme]], part: Part, absent: Scheme) -> float:
    """Bytes per weight of one part, or by the scheme ``absent`` if the model has no such part."""
    shares = {scheme: count for (of, scheme), count in weights.items() if of == part and count}
    if not shares:
        return absent.bytes
    if len(shares) == 1:
        return next(iter(shares)).bytes
    return sum(scheme.bytes * count for scheme, count in shares.items()) / sum(shares.values())


def _scheme_of(plan: Plan, module: Module, i: int) -> Scheme:
    names = [f"layers.{i}.{name}" for name in module.names]
    if plan.is_for_experts_only and module.part != "expert":
        return UNQUANTISED
    if any(plan.exempt(name) for name in names):
        return UNQUANTISED
    for means, scheme in plan.special:
        if any(means(name) for name in names):
            return scheme
    return plan.scheme


def quantized(model: Model, name: str) -> Model:
    """The model as vLLM quantises it while loading: all matrices of its layers, but no LM head and no router.

    Args:
        model: of 16 bit.
        name: one of `ON_THE_WAY_IN`.

    Raises:
        ConfigError: no such scheme.
        CombinationError: the checkpoint is quantised already.
    """
    if name not in ON_THE_WAY_IN:
        raise ConfigError(f"quantization: unknown value {name!r}; {nearest(name, ON_THE_WAY_IN)}")
    if model.quantization != Quantization():
        raise CombinationError(f"quantization: {name} needs a checkpoint of 16 bit, and this one is quantised already")
    scheme = ON_THE_WAY_IN[name]
    others = BYTES_16BIT if name == "experts_int8" else scheme.bytes
    return replace(model, quantization=Quantization(others, others, scheme.bytes, scheme.activation))
