"""A model's folder read."""

from __future__ import annotations

from pathlib import Path

from blis.config.huggingface import load_architecture
from blis.config.model.model import Model
from blis.config.model.of_architecture import model_of


def read_model(folder: Path) -> Model:
    """Read ``config.json`` of a folder.

    Raises:
        ConfigError: if it cannot be read, or describes a model that is not supported.
    """
    return model_of(load_architecture(folder))
