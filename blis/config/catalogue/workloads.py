"""Preset workloads and scenarios with their figures."""

from __future__ import annotations

import dataclasses
from typing import Any

from blis.config.defaults import PresetWorkload, load_defaults
from blis.errors import ConfigError, nearest
from blis.workload.client_spec import ClientSpec, OpenLoop
from blis.workload.lengths import MAX_TOKENS, Exponential, Lengths
from blis.workload.scenarios import SCENARIOS, scenario

_SOURCE = "inference-sim project, published February 2026"


def workloads() -> list[dict[str, Any]]:
    """One entry per preset (``--workload``) and scenario (``--scenario``)."""
    defaults = load_defaults()
    presets = [_preset(name, defaults.preset(name)) for name in defaults.presets]
    return [*presets, *map(_scenario, SCENARIOS)]


def workload(name: str) -> dict[str, Any]:
    """The entry of one name.

    Raises:
        ConfigError: there is none; says which come close.
    """
    by_name = {entry["name"]: entry for entry in workloads()}
    if name.strip().lower() not in by_name:
        raise ConfigError(f"unknown workload {name!r}; {nearest(name, by_name)}")
    return by_name[name.strip().lower()]


def _preset(name: str, preset: PresetWorkload) -> dict[str, Any]:
    client = {
        "client": None,
        "share": 1.0,
        "arrivals": "as --arrival says",
        "prefix_tokens": preset.prefix_tokens,
        "input_tokens": {"distribution": "normal", **dataclasses.asdict(preset.prompt_tokens)},
        "output_tokens": {"distribution": "normal", **dataclasses.asdict(preset.output_tokens)},
        "slo_class": None,
        "tenant_id": None,
    }
    return {"kind": "preset", "name": name, "flag": f"--workload {name}", "clients": [client], "source": _SOURCE}


def _scenario(name: str) -> dict[str, Any]:
    clients = [_client(client) for client in scenario(name).clients]
    return {"kind": "scenario", "name": name, "flag": f"--scenario {name}", "clients": clients, "source": _SOURCE}


def _client(client: ClientSpec) -> dict[str, Any]:
    load = client.load
    assert isinstance(load, OpenLoop)  # scenarios have no others
    return {
        "client": client.id,
        "share": load.rate_fraction,
        "arrivals": load.process if load.cv == 1.0 else f"{load.process}, CV {load.cv:g}",
        "prefix_tokens": client.prefix_length if client.prefix_group else 0,
        "input_tokens": _lengths(client.text),
        "output_tokens": _lengths(client.output),
        "slo_class": client.slo_class or None,
        "tenant_id": client.tenant_id or None,
    }


def _lengths(lengths: Lengths) -> dict[str, Any]:
    law = lengths.distribution
    figures: dict[str, Any] = {"distribution": "exponential" if isinstance(law, Exponential) else "normal"}
    figures |= {"stdev" if key == "std_dev" else key: value for key, value in vars(law).items()}
    return figures | {"min": lengths.minimum, "max": None if lengths.maximum == MAX_TOKENS else lengths.maximum}
