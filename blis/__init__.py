"""BLIS: a discrete-event simulator of LLM inference serving.

    import blis

    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(rate=10, num_requests=300))
    outcomes.summary["ttft_p99_ms"]
    outcomes.requests  # a polars frame, one row per request

Names are loaded when first used, so that ``import blis`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blis.api import Simulation, prepare, preset, simulate
    from blis.config.schema import Deployment, EngineConfig, EngineOptions
    from blis.errors import (
        BlisError,
        CapacityError,
        ConfigError,
        EngineError,
        InputError,
        InvariantError,
        WorkloadError,
    )
    from blis.outcomes import Outcomes
    from blis.workload.distribution import DistributionWorkload
    from blis.workload.requests import LiteralTokens, RequestTable, TokenStreams
    from blis.workload.trace import load_trace

__version__ = "0.1.0"

__all__ = [
    "BlisError",
    "CapacityError",
    "ConfigError",
    "Deployment",
    "DistributionWorkload",
    "EngineConfig",
    "EngineError",
    "EngineOptions",
    "InputError",
    "InvariantError",
    "LiteralTokens",
    "Outcomes",
    "RequestTable",
    "Simulation",
    "TokenStreams",
    "WorkloadError",
    "__version__",
    "load_trace",
    "prepare",
    "preset",
    "simulate",
]

_MODULES = {
    "blis.api": ("Simulation", "prepare", "preset", "simulate"),
    "blis.config.schema": ("Deployment", "EngineConfig", "EngineOptions"),
    "blis.errors": (
        "BlisError",
        "CapacityError",
        "ConfigError",
        "EngineError",
        "InputError",
        "InvariantError",
        "WorkloadError",
    ),
    "blis.outcomes": ("Outcomes",),
    "blis.workload.distribution": ("DistributionWorkload",),
    "blis.workload.requests": ("LiteralTokens", "RequestTable", "TokenStreams"),
    "blis.workload.trace": ("load_trace",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'blis' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
