"""What single layers say otherwise than all: ``per_layer_config``, as transformers writes it from 5.24 on."""

from __future__ import annotations

import json
from collections.abc import Callable

from blis.config.model.families.parts import count_layers
from blis.config.model.layers import Layer
from blis.config.model.strict import ModelConfig
from blis.files.decode import Section

Reader = Callable[[ModelConfig], tuple[Layer, ...]]


def layers_of(config: ModelConfig, read: Reader) -> tuple[Layer, ...]:
    """The layers that a reader makes of a configuration, each with the settings of its own.

    Raises:
        ConfigError: naming a layer that is not there, or a setting of one that is not understood.
    """
    if not config.holds_mapping("per_layer_config") or not config.plain()["per_layer_config"]:
        return read(config)
    settings = config.section("per_layer_config")
    own = {_number(settings, name, count_layers(config)): settings.section(name) for name in settings.names()}
    made: dict[str, tuple[Layer, ...]] = {}
    for section in own.values():
        key = _key(section)
        if key not in made:
            made[key] = _read_with(config, section, read)
    layers = read(config) if len(own) < count_layers(config) else next(iter(made.values()))
    if len(layers) != count_layers(config):
        config.fail("per_layer_config", "is not understood for models of this family")
    return tuple(made[_key(own[i])][i] if i in own else layer for i, layer in enumerate(layers))


def _number(settings: Section, name: str, count: int) -> int:
    if not name.isdecimal() or len(name) > len(str(count)) + 1 or int(name) >= count:
        settings.fail(name, f"must be the number of a layer, from 0 to {count - 1}")
    return int(name)


def _key(section: Section) -> str:
    return json.dumps(section.plain(), sort_keys=True)


def _read_with(config: ModelConfig, settings: Section, read: Reader) -> tuple[Layer, ...]:
    """All layers as if these settings held for all."""
    layers = read(config.overlaid(settings))
    config.check_overlay(settings)
    return layers
