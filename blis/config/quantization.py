"""The precision of a model's weights.

vLLM quantises only the matrices of mixers, MLPs and experts. Embeddings, the LM head, norms and routers stay at 16 bit
whatever a checkpoint says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BYTES_16BIT = 2.0
BYTES_8BIT = 1.0
#: Types that weights are multiplied in if not at 16 bit.
ActivationType = Literal["fp8", "int8", "fp4"]
#: MXFP4: 4 bits and an 8-bit scale for every 32 weights.
BYTES_MXFP4 = 0.53125


@dataclass(frozen=True)
class Quantization:
    """Bytes per weight, scales included, and the type in which weights are multiplied.

    Attributes:
        attention_bytes: bytes per weight of mixers, on average over all layers.
        mlp_bytes: bytes per weight of dense and shared MLPs, likewise.
        expert_bytes: bytes per weight of the routed experts, likewise.
        activation_type: type of the activations that meet quantised weights; None: these are expanded to 16 bit first.
        block: weights that share a scale along either side of a matrix, none of which may be cut; 0: no such blocks.
    """

    attention_bytes: float = BYTES_16BIT
    mlp_bytes: float = BYTES_16BIT
    expert_bytes: float = BYTES_16BIT
    activation_type: ActivationType | None = None
    block: int = 0

    @property
    def is_4bit(self) -> bool:
        """Whether any weights are of 4 bits."""
        return min(self.attention_bytes, self.mlp_bytes, self.expert_bytes) < BYTES_8BIT
