"""The layers of the model that a deployment serves."""

from __future__ import annotations

from blis.config.huggingface import shipped_config_folder
from blis.config.model.model import Model
from blis.config.model.precision import quantized
from blis.config.model.reading import read_model
from blis.config.schema import Deployment
from blis.errors import CombinationError


def served_model(deployment: Deployment) -> Model | None:
    """The model of the given configuration or of the one that ships, quantised as asked for; None: there is neither.

    Raises:
        ConfigError: if the configuration cannot be read, or is not to be quantised so.
        CombinationError: if quantisation is asked for and there is no configuration, or one that is quantised already.
    """
    folder = deployment.model_config_folder or shipped_config_folder(deployment.model)
    name = deployment.quantization
    if folder is None:
        if name is not None:
            raise CombinationError(
                f"quantization: {name} needs to know the model's layers; give its config.json (model_config_folder)"
            )
        return None
    model = read_model(folder, assume_dense=deployment.assume_dense_transformer)
    return model if name is None else quantized(model, name)
