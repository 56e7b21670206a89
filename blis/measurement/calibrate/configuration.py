"""Whether what was simulated is what was measured: the server of the trace beside the simulation's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blis.workload.traces.tracev2.header import Server


@dataclass(frozen=True)
class ConfigMatch:
    """Settings by the simulator's names.

    Attributes:
        matched: equal on both sides.
        defaulted: what the simulation had where the trace does not say.
        different: values of ``server`` and ``simulation``; a simulation that does not know has None.
    """

    matched: dict[str, Any]
    defaulted: dict[str, Any]
    different: dict[str, dict[str, Any]]

    def contradictions(self) -> Iterator[str]:
        """Settings that both sides know and that differ, in words."""
        for name, values in self.different.items():
            if values["simulation"] is not None:
                yield f"{name} is {values['simulation']}, that of the server {values['server']}"


def match_configuration(server: Server | None, metadata: Mapping[str, Any]) -> ConfigMatch:
    """Compare the header's server with the configuration that outcomes carry.

    Args:
        server: of the trace's header; None: it says nothing.
        metadata: of the outcomes.
    """
    server = server or Server()
    engine: Mapping[str, Any] = metadata.get("engine", {})
    settings = {
        "model": (server.model, metadata.get("model")),
        "tp": (server.tensor_parallel, metadata.get("tp")),
        "max_num_running_reqs": (server.max_num_seqs, engine.get("max_num_running_reqs")),
        "block_size_tokens": (server.block_size, engine.get("block_size_tokens")),
        "max_model_len": (server.max_model_len, engine.get("max_model_len")),
        "gpu_memory_utilization": (
            server.gpu_memory_utilization,
            metadata.get("kv_blocks", {}).get("gpu_memory_utilization"),
        ),
    }
    found = ConfigMatch({}, {}, {})
    for name, (said, simulated) in settings.items():
        if said is None:
            found.defaulted[name] = simulated
        elif _normal(said) == _normal(simulated):
            found.matched[name] = simulated
        else:
            found.different[name] = {"server": said, "simulation": simulated}
    return found


def _normal(value: Any) -> Any:
    """Model ids are the same whatever their case: simulations write them small."""
    return value.lower() if isinstance(value, str) else value
