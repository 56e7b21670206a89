"""Where the configurations lie that blis ships, as HuggingFace has them."""

from __future__ import annotations

from pathlib import Path

from blis.files.existing import is_file
from blis.files.resources import data_path


def shipped_config_folder(model: str) -> Path | None:
    """The shipped folder for a model id: its last component, in lower case."""
    folder = data_path("model_configs") / model.strip().lower().rpartition("/")[2]
    return folder if is_file(folder / "config.json") else None
