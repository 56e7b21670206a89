"""Schemes of quantisation: how many bytes a weight takes, scales included, and in what type it is multiplied."""

from __future__ import annotations

from typing import NamedTuple

from blis.config.quantization import BYTES_8BIT, BYTES_16BIT, BYTES_MXFP4, ActivationType
from blis.files.decode import Section

#: NVFP4: 4 bits and an 8-bit scale for every 16 weights.
BYTES_NVFP4 = 0.5625
#: MXFP8: 8 bits and an 8-bit scale for every 32 weights.
BYTES_MXFP8 = 1.03125
#: bitsandbytes: 4 bits and a 4-byte scale for every 64 weights.
BYTES_BNB4 = 0.5625
#: The same with scales of 8 bit, and 4 bytes for every 256 of these.
BYTES_BNB4_DOUBLE = 0.5 + (1 + 4 / 256) / 64


class Scheme(NamedTuple):
    """What a method makes of a matrix.

    Attributes:
        bytes: per weight.
        activation: type of the activations; None: weights are expanded to 16 bit.
        block: of weights that share a scale along either side of a matrix; 0: no such blocks.
    """

    bytes: float
    activation: ActivationType | None = None
    block: int = 0


UNQUANTISED = Scheme(BYTES_16BIT)
FP8 = Scheme(BYTES_8BIT, "fp8")
INT8 = Scheme(BYTES_8BIT, "int8")
NVFP4 = Scheme(BYTES_NVFP4, "fp4")
MXFP4 = Scheme(BYTES_MXFP4, "fp4")
MXFP4_WEIGHTS = Scheme(BYTES_MXFP4)
MXFP8 = Scheme(BYTES_MXFP8, "fp8")


def grouped_integers(bits: int, group: int, *, has_zeros: bool = False) -> float:
    """Bytes per weight of whole numbers with a 2-byte scale, and perhaps a zero point, for each group.

    Args:
        bits: of a weight.
        group: weights that share a scale; 0 or less: a whole channel does.
        has_zeros: whether groups have zero points, of as many bits.

    Returns:
        Three digits of it.
    """
    scale = (2 + has_zeros * bits / 8) / group if group > 0 else 0.0
    return round(bits / 8 + scale, 3)


def tensors_scheme(group: Section) -> Scheme:
    """The scheme of one group of compressed-tensors: of its weights and of the activations that meet them."""
    weights = group.section("weights")
    bits, kind = weights.integer("num_bits", least=1), weights.text("type", "int", valid=("float", "int"))
    size = _bytes_of_tensors(weights, bits, kind)
    block = square_block(weights, "block_structure") if weights.text("strategy", "") == "block" else 0
    if not group.has("input_activations"):
        return Scheme(size, None, block)
    return Scheme(size, _activation(group.section("input_activations"), bits, kind), block)


def square_block(section: Section, key: str) -> int:
    """The side of the blocks that share a scale; 0: none is given, or they are rows."""
    sides = section.numbers(key, least_count=2, most_count=2) if section.has(key) else (0.0, 0.0)
    return int(max(sides)) if min(sides) > 1 else 0


def _bytes_of_tensors(weights: Section, bits: int, kind: str) -> float:
    """Scales of FP4 and of groups of 32 at 8 bit (MX) have 8 bits, others 16."""
    per_group = weights.text("strategy", "group" if weights.has("group_size") else "channel")
    size = weights.integer("group_size", 128, least=-1) if per_group in ("group", "tensor_group") else -1
    if bits not in (4, 8):
        weights.fail("num_bits", f"must be 4 or 8, got {bits}")
    if kind == "float" and bits == 4:
        if size not in (16, 32):
            weights.fail("group_size", f"must be 16 (NVFP4) or 32 (MXFP4) for weights of 4-bit floats, got {size}")
        return 0.5 + 1 / size
    if kind == "float" and size == 32:
        return BYTES_MXFP8
    if bits == 4 and per_group == "group" and not weights.has("group_size"):
        size = 128
    return grouped_integers(bits, size, has_zeros=kind == "int" and not weights.flag("symmetric", True))


def _activation(section: Section, bits: int, kind: str) -> ActivationType | None:
    number, of_kind = section.integer("num_bits", least=1), section.text("type", "int", valid=("float", "int"))
    if number == 16:
        return None
    types: dict[tuple[int, str], ActivationType] = {(8, "float"): "fp8", (8, "int"): "int8", (4, "float"): "fp4"}
    if (number, of_kind) not in types or number < bits or ((bits, number) == (8, 8) and kind != of_kind):
        section.fail(
            "num_bits",
            f"activations of {number}-bit {of_kind} are not understood for weights of {bits}-bit {kind}",
        )
    return types[number, of_kind]


def modelopt_scheme(section: Section, key: str, algorithm: str, group: int) -> Scheme:
    """The scheme of one of ModelOpt's algorithms."""
    known = {
        **dict.fromkeys(("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO", "FP8_PB_REAL", "FP8_BLOCK_SCALES"), FP8),
        **dict.fromkeys(("NVFP4", "NVFP4_AWQ", "NVFP4_SVDQUANT", "NVFP4_MLP_ONLY"), NVFP4),
        **dict.fromkeys(("W4A16_NVFP4", "NVFP4_W4A16"), Scheme(BYTES_NVFP4)),
        **dict.fromkeys(("W4A8_NVFP4_FP8", "NVFP4_FP8"), Scheme(BYTES_NVFP4, "fp8")),
        "MXFP8": MXFP8,
        "MXFP4": MXFP4,
        "W4A8_MXFP4_FP8": Scheme(BYTES_MXFP4, "fp8"),
        **dict.fromkeys(("W4A16", "W4A16_AWQ", "INT4_AWQ"), Scheme(grouped_integers(4, group))),
        "W4A8_AWQ": Scheme(grouped_integers(4, group), "fp8"),
        **dict.fromkeys(("W8A8_SQ_PER_CHANNEL", "INT8_SQ"), INT8),
        **dict.fromkeys(("W8A16", "W8A16_GPTQ"), Scheme(BYTES_8BIT)),
    }
    if algorithm.upper() not in known:
        section.fail(key, f"unknown algorithm {algorithm!r}; valid: {', '.join(known)}")
    return known[algorithm.upper()]
