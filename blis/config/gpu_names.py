"""How people write a GPU's name: as it is sold, as ``nvidia-smi`` prints it, as clouds label it.

``NVIDIA A100-SXM4-80GB``, ``a100 80gb sxm`` and ``A100-80-SXM`` are one GPU: what counts is which parts a name has, not
their order, nor the words that every name of that vendor has.
"""

from __future__ import annotations

import re

_VENDORS = frozenset(("nvidia", "amd", "intel", "google", "cloud"))
_SAY_NOTHING = _VENDORS | frozenset(
    ("tesla", "geforce", "instinct", "oam", "dgx", "hgx", "blackwell", "edition", "gpu", "tensor", "core", "vf")
)
_GLUED = re.compile(r"(rtx|pro|gaudi|tpu)(?=[a-z]*\d|pro)")
_MEMORY = re.compile(r"(\d+)(?:g|gb|gib)")
_SOCKET = re.compile(r"(sxm|pcie)\d")
_MEMORY_KIND = re.compile(r"hbm\d?e?|gddr\d\w*")
_TOLD_BY_MEMORY = {("h100", "hbm2e"): "pcie", ("h20", "hbm3e"): "141", ("gh200", "hbm3e"): "144"}


def plain_name(name: str) -> str:
    """A name without regard to case, and to ``_`` and blanks for ``-``."""
    return name.strip().casefold().replace("_", "-").replace(" ", "-")


def name_parts(name: str) -> frozenset[str]:
    """The parts of a name that tell GPUs apart, as ``{"a100", "sxm", "80"}``."""
    words = _GLUED.sub(r"\1-", plain_name(name)).split("-")
    told = frozenset(part for pair, part in _TOLD_BY_MEMORY.items() if {*pair} <= {*words})
    return told.union(_word(w) for w in words if w and w not in _SAY_NOTHING and not _MEMORY_KIND.fullmatch(w))


def _word(word: str) -> str:
    """``80`` of ``80GB``, ``sxm`` of ``SXM5``."""
    if memory := _MEMORY.fullmatch(word):
        return memory[1]
    return _SOCKET.sub(r"\1", word) if _SOCKET.fullmatch(word) else word
