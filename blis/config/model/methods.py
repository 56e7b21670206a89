"""What each method of quantisation says in a checkpoint's configuration, as a plan: which modules become what."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from blis.config.model.exemptions import Matcher, matcher
from blis.config.model.keys import is_off, words
from blis.config.model.schemes import (
    BYTES_BNB4,
    BYTES_BNB4_DOUBLE,
    FP8,
    INT8,
    MXFP4_WEIGHTS,
    MXFP8,
    UNQUANTISED,
    Scheme,
    grouped_integers,
    modelopt_scheme,
    square_block,
    tensors_scheme,
)
from blis.config.quantization import BYTES_8BIT, BYTES_MXFP4, ActivationType
from blis.files.decode import Section

_IGNORE_KEYS = (
    "ignore",
    "modules_to_not_convert",
    "ignored_layers",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
)
#: Keys that say how large weights or caches are, by name or part of it, and those of them that are understood.
_COSTLY = re.compile(r"bits|dtype|algo|block_size|group|store|scheme|embed|sparsity")
_UNDERSTOOD = words(
    """
    act_bits act_dtype act_group_aware act_group_size activation_scheme algo_config bits block_name_to_quantize
    bnb_4bit_compute_dtype
    compute_dtype config_groups group_size kv_cache_group kv_cache_quant_algo kv_cache_scheme pack_dtype q_group_size
    quant_algo scale_dtype sparsity_config static_groups w_bit weight_block_size
    """
)
#: Quark's floats of 6 bits.
_FP6 = ("fp6_e2m3", "fp6_e3m2")
#: Signs that make a name of AutoRound's a regular expression.
_REGULAR = re.compile(r"[*+?\\|()\[\]{}^$]")


@dataclass(frozen=True)
class Plan:
    """What a checkpoint's matrices are made of.

    Attributes:
        scheme: of all matrices that nothing else is said of.
        exempt: which matrices stay at 16 bit.
        special: schemes of matrices of their own; the first that fits holds.
        is_for_experts_only: whether only routed experts are quantised.
        kv_cache_type: of cached keys and values; None: the model's own.
        doubts: what is not known for sure.
    """

    scheme: Scheme
    exempt: Matcher
    special: tuple[tuple[Matcher, Scheme], ...] = ()
    is_for_experts_only: bool = False
    kv_cache_type: str | None = None
    doubts: tuple[str, ...] = field(default=())

    def of_layer(self, number: int) -> object:
        """What its lists say of one layer by its number: layers of which they say the same are alike to it."""
        return (self.exempt.of_layer(number), *(means.of_layer(number) for means, _ in self.special))


def read_plan(section: Section) -> Plan:
    """Read ``quantization_config`` or what ``hf_quant_config.json`` holds.

    Raises:
        ConfigError: the method is not known, or a field is missing or malformed.
    """
    method = section.text("quant_method", "modelopt" if section.has("quant_algo") else None, valid=METHODS)
    plan = METHODS[method](section)
    for key in section.names():
        if _COSTLY.search(key) and key not in _UNDERSTOOD and not is_off(key, section.plain()[key]):
            section.fail(key, f"bears on memory, and is not understood for quantization by {method}")
    return plan


def _plan(section: Section, scheme: Scheme, **more: Any) -> Plan:
    more.setdefault("exempt", matcher(section, "ignore", _ignored(section)))
    doubts = ("the LM head is quantised; it is counted at 16 bit",) if _has_lm_head(section) else ()
    return Plan(scheme, doubts=doubts, **more)


def _ignored(section: Section) -> list[str]:
    return [entry for key in _IGNORE_KEYS for entry in section.texts(key)]


def _has_lm_head(section: Section) -> bool:
    return section.has("lm_head") and section.flag("lm_head")


def _fp8(section: Section) -> Plan:
    key = "weight_block_size"
    if section.has(key) and section.numbers(key, least_count=2, most_count=2) == (1, 32):
        return _plan(section, MXFP8)
    return _plan(section, FP8._replace(block=square_block(section, key)))


def _mxfp4(section: Section) -> Plan:
    return _plan(section, MXFP4_WEIGHTS, is_for_experts_only=True)


def _experts_int8(section: Section) -> Plan:
    return _plan(section, Scheme(BYTES_8BIT), is_for_experts_only=True)


def _bits(section: Section, *keys: str, valid: tuple[int, ...] = (4, 8)) -> int:
    key = next((key for key in keys if section.has(key)), keys[0])
    bits = section.integer(key, least=1)
    if bits not in valid:
        *others, last = valid
        section.fail(key, f"must be {', '.join(map(str, others))} or {last}, got {bits}")
    return bits


def _group(section: Section) -> int:
    return section.integer("group_size" if section.has("group_size") else "q_group_size", 128, least=-1)


def _weights_only(section: Section) -> Scheme:
    """GPTQ's whole numbers; of 2 and 3 bits they are served, too."""
    bits = _bits(section, "bits", valid=(2, 3, 4, 8))
    return Scheme(grouped_integers(bits, _group(section), has_zeros=not section.flag("sym", True)))


def _awq(section: Section) -> Plan:
    bits, has_zeros = _bits(section, "bits", "w_bit"), section.flag("zero_point", False)
    return _plan(section, Scheme(grouped_integers(bits, _group(section), has_zeros=has_zeros)))


def _gptq(section: Section) -> Plan:
    """GPTQ; with ``dynamic`` GPTQModel exempts modules (``-:``) and gives others (``+:``) bits of their own."""
    scheme = _weights_only(section)
    left_out, special = list(_ignored(section)), []
    dynamic = section.section("dynamic") if section.has("dynamic") else None
    for name in dynamic.names() if dynamic else []:
        if name.startswith("-:"):
            left_out.append("re:" + name.removeprefix("-:"))
        elif dynamic:
            own = _weights_only(_inheriting(section, dynamic.section(name)))
            special.append((matcher(section, "dynamic", ["re:" + name.removeprefix("+:")]), own))
    return _plan(section, scheme, exempt=matcher(section, "dynamic", left_out), special=tuple(special))


def _inheriting(outer: Section, inner: Section) -> Section:
    """A part's own settings over those of all."""
    return Section({**outer.plain(), **inner.plain()}, inner.source, inner.path)


def _auto_round(section: Section) -> Plan:
    """AutoRound: whole numbers, or the microscaling types, with exceptions by module."""
    special = []
    extra = section.section("extra_config") if section.has("extra_config") else None
    for name in extra.names() if extra else []:
        if extra:
            own = _inheriting(section, extra.section(name))
            scheme = UNQUANTISED if own.integer("bits") >= 16 else _scheme_of_auto_round(own)
            special.append((matcher(section, "extra_config", [_as_pattern(name)]), scheme))
    return _plan(section, _scheme_of_auto_round(section), special=tuple(special))


def _as_pattern(name: str) -> str:
    """AutoRound takes a name with signs of regular expressions for one, which may be found anywhere."""
    return f"re:.*(?:{name})" if _REGULAR.search(name) else name


def _scheme_of_auto_round(section: Section) -> Scheme:
    kind = section.text("data_type", "int")
    act_bits = section.integer("act_bits", 16)
    if kind.startswith(("mx_fp", "nv_fp")):
        bits = _bits(section, "bits")
        fp4 = (0.5 + 1 / (16 if kind.startswith("nv") else 32)) if bits == 4 else BYTES_8BIT + 1 / 32
        activations: dict[int, ActivationType] = {4: "fp4", 8: "fp8"}
        return Scheme(fp4, activations.get(act_bits))
    if kind == "fp8" or kind.startswith("fp8"):
        return FP8
    if act_bits < 16:
        section.fail("act_bits", f"activations of {act_bits} bit are not understood for weights of type {kind!r}")
    return _weights_only(section)


def _compressed_tensors(section: Section) -> Plan:
    """Groups of targets: ``Linear`` means all matrices, others name some."""
    sparsity = section.plain().get("sparsity_config")
    if sparsity and section.section("sparsity_config").text("format", "") != "dense":
        section.fail("sparsity_config", "sparse weights are not supported")
    groups = section.section("config_groups")
    everywhere, special = [], []
    for name in groups.names():
        group = groups.section(name)
        scheme, targets = tensors_scheme(group), group.texts("targets")
        if set(targets) & {"Linear", "FusedMoE", "RoutedExperts"} or not targets:
            everywhere.append(scheme)
        else:
            special.append((matcher(group, "targets", targets), scheme))
    if len(set(everywhere)) > 1:
        section.fail("config_groups", f"must quantise all of Linear alike, got {len(set(everywhere))} schemes")
    if not everywhere and not special:
        section.fail("config_groups", "must hold one group at least, got none")
    scheme = everywhere[0] if everywhere else UNQUANTISED
    return _plan(section, scheme, special=tuple(special), kv_cache_type=_kv_scheme(section))


def _kv_scheme(section: Section) -> str | None:
    """What ``kv_cache_scheme`` asks for: FP8 is all that is understood."""
    if not section.has("kv_cache_scheme"):
        return None
    if not section.holds_mapping("kv_cache_scheme"):
        return _kv_algorithm(section, "kv_cache_scheme")
    scheme = section.section("kv_cache_scheme")
    bits, kind = scheme.integer("num_bits", least=1), scheme.text("type", "float")
    if (bits, kind) != (8, "float"):
        scheme.fail("num_bits", f"must be 8 of type float, got {bits} of type {kind}")
    return "fp8"


def _kv_algorithm(section: Section, key: str) -> str | None:
    algorithm = section.text(key).upper()
    if algorithm not in ("FP8", "NONE", "AUTO"):
        section.fail(key, f"must be FP8, got {algorithm}")
    return "fp8" if algorithm == "FP8" else None


def _modelopt(section: Section) -> Plan:
    """ModelOpt: one algorithm, or with ``MIXED_PRECISION`` one by module."""
    if section.holds_mapping("quantization"):
        section = _inheriting(section, section.section("quantization"))
    has_own_type = section.has("kv_cache_quant_algo")
    cached = _kv_algorithm(section, "kv_cache_quant_algo") if has_own_type else _kv_scheme(section)
    if not section.has("quant_algo"):
        plan = _compressed_tensors(section)
        return Plan(plan.scheme, plan.exempt, plan.special, kv_cache_type=cached)
    algorithm = section.text("quant_algo")
    if algorithm.upper() == "MIXED_PRECISION":
        return _plan(section, UNQUANTISED, special=_mixed(section), kv_cache_type=cached)
    scheme = modelopt_scheme(section, "quant_algo", algorithm, section.integer("group_size", 128, least=-1))
    return _plan(section, scheme, kv_cache_type=cached)


def _mixed(section: Section) -> tuple[tuple[Matcher, Scheme], ...]:
    """Modules by their schemes; others stay at 16 bit."""
    layers = section.section("quantized_layers")
    by_scheme: dict[Scheme, list[str]] = {}
    for name in layers.names():
        entry = layers.section(name)
        group = entry.integer("group_size", 128, least=-1)
        scheme = modelopt_scheme(entry, "quant_algo", entry.text("quant_algo"), group)
        by_scheme.setdefault(scheme, []).append(name)
    return tuple((matcher(section, "quantized_layers", names), scheme) for scheme, names in by_scheme.items())


def _bitsandbytes(section: Section) -> Plan:
    if section.has("load_in_8bit") and section.flag("load_in_8bit"):
        return _plan(section, INT8)
    if not (section.has("load_in_4bit") and section.flag("load_in_4bit")):
        section.fail("load_in_4bit", "missing: neither 4 nor 8 bit is asked for")
    has_small_scales = section.flag("bnb_4bit_use_double_quant", False)
    return _plan(section, Scheme(BYTES_BNB4_DOUBLE if has_small_scales else BYTES_BNB4))


def _quark(section: Section) -> Plan:
    """Quark: one setting for all, and others by module."""
    special = []
    if section.has("layer_quant_config"):
        layers = section.section("layer_quant_config")
        special = [
            (matcher(section, "layer_quant_config", [name]), _scheme_of_quark(layers.section(name)))
            for name in layers.names()
        ]
    cached = None
    if section.has("kv_cache_quant_config") and section.plain()["kv_cache_quant_config"]:
        cached = "fp8"
    scheme = _scheme_of_quark(section.section("global_quant_config"))
    return _plan(section, scheme, special=tuple(special), kv_cache_type=cached)


def _scheme_of_quark(section: Section) -> Scheme:
    weight = section.section("weight")
    names = ("fp8_e4m3", "int8", "fp4", "mxfp4", "int4", "uint4", *_FP6)
    kind = weight.text("dtype", valid=names)
    group = weight.integer("group_size", 32 if kind.startswith(("fp4", "fp6", "mx")) else -1, least=-1)
    sizes: Mapping[str, float] = {
        "fp8_e4m3": BYTES_8BIT,
        "int8": BYTES_8BIT,
        "fp4": 0.5 + 1 / max(group, 1),
        "mxfp4": BYTES_MXFP4,
        **dict.fromkeys(_FP6, 0.75 + 1 / max(group, 1)),
        "int4": grouped_integers(4, group),
        "uint4": grouped_integers(4, group, has_zeros=True),
    }
    if not section.has("input_tensors"):
        return Scheme(sizes[kind])
    activations: dict[str, ActivationType | None] = {"fp8_e4m3": "fp8", "int8": "int8", "fp4": "fp4", "mxfp4": "fp4"}
    activations |= dict.fromkeys(_FP6)  # no GPU of ours multiplies them
    return Scheme(sizes[kind], activations[section.section("input_tensors").text("dtype", valid=activations)])


def _torchao(section: Section) -> Plan:
    """torchao: the name of one of its configurations, as it stands or in a mapping."""
    if section.holds_mapping("quant_type"):
        inner = section.section("quant_type").section("default")
        name, data = inner.text("_type"), inner.section("_data") if inner.has("_data") else inner
    else:
        name, data = section.text("quant_type"), section
    group = data.integer("group_size", 128, least=1)
    known = {
        **dict.fromkeys(("Float8DynamicActivationFloat8WeightConfig", "float8_dynamic_activation_float8_weight"), FP8),
        **dict.fromkeys(("Float8WeightOnlyConfig", "float8_weight_only"), Scheme(BYTES_8BIT)),
        **dict.fromkeys(("Int8WeightOnlyConfig", "int8_weight_only"), Scheme(BYTES_8BIT)),
        **dict.fromkeys(("Int8DynamicActivationInt8WeightConfig", "int8_dynamic_activation_int8_weight"), INT8),
        **dict.fromkeys(("Int4WeightOnlyConfig", "int4_weight_only"), Scheme(round(0.5 + 4 / group, 3))),
    }
    if name not in known:
        section.fail("quant_type", f"unknown value {name!r}; valid: {', '.join(known)}")
    return _plan(section, known[name])


METHODS: dict[str, Callable[[Section], Plan]] = {
    "compressed-tensors": _compressed_tensors,
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "mxfp4": _mxfp4,
    "mxfp8": lambda section: _plan(section, MXFP8),
    "experts_int8": _experts_int8,
    **dict.fromkeys(("gptq", "gptq_marlin"), _gptq),
    **dict.fromkeys(("awq", "awq_marlin"), _awq),
    **dict.fromkeys(("auto-round", "intel/auto-round", "auto_round", "inc"), _auto_round),
    **dict.fromkeys(("modelopt", "modelopt_fp4", "modelopt_mixed", "modelopt_mxfp8"), _modelopt),
    "bitsandbytes": _bitsandbytes,
    "quark": _quark,
    "torchao": _torchao,
}
