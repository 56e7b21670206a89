"""What a family of models is to the reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from blis.config.model.layers import Layer
from blis.config.model.strict import ModelConfig

#: What a file that describes nothing else must say itself, whatever the class has by default.
MUST_BE_SAID = frozenset(
    (
        *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size", "num_layers"),
        "max_position_embeddings",
    )
)


@dataclass(frozen=True)
class Family:
    """One class of models.

    Attributes:
        read_layers: makes the layers of a configuration.
        defaults: what the class takes for keys that a configuration leaves out.
        read_lookups: counts the weights of tables of embeddings beside the first one.
    """

    read_layers: Callable[[ModelConfig], tuple[Layer, ...]]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    read_lookups: Callable[[ModelConfig], int] = lambda config: 0


#: Defaults of a class whose LM head is its embeddings.
TIED = {"tie_word_embeddings": True}
