"""What a checkpoint's ``quantization_config`` says about the size and the arithmetic of its weights.

vLLM quantises only the projections of attention, the dense and shared MLPs and the routed experts. Embeddings,
the LM head, norms and routers stay at 16 bit whatever the configuration says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

from blis.config.hardware import Type8Bit
from blis.files.decode import Section

BYTES_16BIT = 2.0
BYTES_8BIT = 1.0
#: Types that weights are multiplied in if not at 16 bit.
ActivationType = Literal["fp8", "int8", "fp4"]
#: MXFP4: 4 bits and an 8-bit scale for every 32 weights.
BYTES_MXFP4 = 0.53125

_METHODS = ("compressed-tensors", "fp8", "fbgemm_fp8", "gptq", "awq", "mxfp4")
_PREFIXES = ("", "model.", "language_model.model.", "model.language_model.")
_ATTENTION = ("self_attn.q_proj", "self_attn.q_b_proj")
_DENSE_MLP = ("mlp.gate_proj", "feed_forward.gate_proj")
_SHARED_MLP = ("mlp.shared_expert.gate_proj", "mlp.shared_experts.gate_proj", "feed_forward.shared_expert.gate_proj")
_EXPERTS = ("mlp.experts.0.gate_proj", "feed_forward.experts.0.gate_proj", "block_sparse_moe.experts.0.w1")


@dataclass(frozen=True)
class Quantization:
    """Bytes per weight, scales included, and the type in which weights are multiplied.

    Attributes:
        attention_bytes: bytes per weight of mixers, on average over all layers.
        mlp_bytes: bytes per weight of dense and shared MLPs, likewise.
        expert_bytes: bytes per weight of the routed experts, likewise.
        activation_type: type of the activations that meet quantised weights; None: these are expanded to 16 bit first.
    """

    attention_bytes: float = BYTES_16BIT
    mlp_bytes: float = BYTES_16BIT
    expert_bytes: float = BYTES_16BIT
    activation_type: ActivationType | None = None

    @property
    def is_4bit(self) -> bool:
        """Whether any weights are of 4 bits."""
        return min(self.attention_bytes, self.mlp_bytes, self.expert_bytes) < BYTES_8BIT


def read_quantization(
    config: Section, *, num_layers: int, num_moe_layers: int, has_shared_experts: bool
) -> Quantization:
    """Read ``quantization_config`` of a HuggingFace configuration; 16 bit if there is none.

    Args:
        config: the configuration.
        num_layers: layers of the model.
        num_moe_layers: how many of them route to experts.
        has_shared_experts: whether these layers also have shared experts.

    Raises:
        ConfigError: if the method is not supported or a field is missing or malformed.
    """
    if not config.has("quantization_config"):
        return Quantization()
    section = config.section("quantization_config")
    method = section.text("quant_method", valid=_METHODS)
    weight_bytes, activation_type = _read_scheme(section, method)
    ignored = _ignore_list(section)

    def bytes_of(modules: tuple[str, ...], num_with_them: int) -> float:
        return BYTES_16BIT if _mostly_ignored(ignored, modules, num_layers, num_with_them) else weight_bytes

    num_dense_layers = num_layers - num_moe_layers
    mlp = (_SHARED_MLP, num_moe_layers) if has_shared_experts else (_DENSE_MLP, num_dense_layers)
    return Quantization(
        bytes_of(_ATTENTION, num_layers), bytes_of(*mlp), bytes_of(_EXPERTS, num_moe_layers), activation_type
    )


def _read_scheme(section: Section, method: str) -> tuple[float, Type8Bit | None]:
    """Bytes per quantised weight, and the type of 8-bit activations."""
    if method == "mxfp4":
        return BYTES_MXFP4, None
    if method in ("fp8", "fbgemm_fp8"):
        return BYTES_8BIT, "fp8"
    if method in ("gptq", "awq"):
        bits = section.integer("bits" if section.has("bits") else "w_bit", least=1)
        group_size = section.integer("group_size" if section.has("group_size") else "q_group_size", 128, least=-1)
        return _weight_only_bytes(section, bits, group_size), None
    return _read_compressed_tensors(section)


def _read_compressed_tensors(section: Section) -> tuple[float, Type8Bit | None]:
    groups = section.section("config_groups")
    schemes = {_read_group(groups.section(name)) for name in groups.names()}
    if len(schemes) != 1:
        section.fail("config_groups", f"must quantise all weights alike, got {len(schemes)} schemes")
    return schemes.pop()


def _read_group(group: Section) -> tuple[float, Type8Bit | None]:
    if group.texts("targets") != ("Linear",):
        group.fail("targets", f"must be ['Linear'], got {list(group.texts('targets'))}")
    weights = group.section("weights")
    bits = weights.integer("num_bits", least=1)
    if not group.has("input_activations"):
        return _weight_only_bytes(weights, bits, weights.integer("group_size", 128, least=-1)), None
    activations = group.section("input_activations")
    kind = weights.text("type", valid=("float", "int"))
    if (bits, activations.integer("num_bits"), activations.text("type")) != (8, 8, kind):
        group.fail("input_activations", "must be 8 bit and of the weights' type, with weights of 8 bit")
    return BYTES_8BIT, "fp8" if kind == "float" else "int8"


def _weight_only_bytes(section: Section, bits: int, group_size: int) -> float:
    """Bytes per weight: the bits themselves and, below 8, a 2-byte scale for each group."""
    if bits == 8:
        return BYTES_8BIT
    if bits != 4:
        section.fail("bits", f"must be 4 or 8, got {bits}")
    return round(0.5 + (2 / group_size if group_size > 0 else 0.0), 3)


def _mostly_ignored(
    ignored: Callable[[str], bool], modules: tuple[str, ...], num_layers: int, num_with_them: int
) -> bool:
    """Whether at least half of the layers that have one of these modules keep it at 16 bit."""
    count = sum(any(ignored(f"layers.{i}.{module}") for module in modules) for i in range(num_layers))
    return count > 0 and 2 * count >= num_with_them


def _ignore_list(section: Section) -> Callable[[str], bool]:
    """A test whether a module, named from ``layers.`` on, is left unquantised.

    Entries are module names or parts of them, patterns with ``*``, or regular expressions after ``re:``.
    """
    entries = (*section.texts("ignore"), *section.texts("modules_to_not_convert"), *section.texts("ignored_layers"))
    patterns = [_compile(section, e) for e in entries if e.startswith("re:") or "*" in e]
    names = {_from_layers(e) for e in entries if not e.startswith("re:") and "*" not in e}

    def ignored(module: str) -> bool:
        return _contains_any(module, names) or any(
            pattern.match(prefix + module) for pattern in patterns for prefix in _PREFIXES
        )

    return ignored


def _compile(section: Section, entry: str) -> re.Pattern[str]:
    if not entry.startswith("re:"):
        return re.compile(translate(entry) + "|" + translate(entry + ".*"))
    try:
        return re.compile(entry.removeprefix("re:"))
    except re.error as error:
        section.fail("ignore", f"no valid regular expression {entry!r}: {error}")


def _from_layers(entry: str) -> str:
    """Drop what stands before ``layers.``, unless it leads to another part of the model than the language model."""
    before, found, after = entry.rpartition("layers.")
    return found + after if f"{before}" in _PREFIXES else entry


def _contains_any(module: str, names: Iterable[str]) -> bool:
    """Whether a dotted name contains one of others as a run of whole parts."""
    parts = module.split(".")
    runs = {".".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)}
    return not runs.isdisjoint(names)
