"""BLIS: a discrete-event simulator of LLM inference serving.

    import blis

    outcomes = blis.simulate("meta-llama/llama-3.1-8b-instruct", blis.DistributionWorkload(rate=10, num_requests=300))
    outcomes.summary["ttft_p99_ms"]
    outcomes.requests  # a polars frame, one row per request

Names are loaded when first used, so that ``import blis`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blis.api import Simulation, prepare, preset, simulate
    from blis.config.catalogue.frames import hardware, models
    from blis.config.front_end import FrontEnd
    from blis.config.policy_file import PolicyFile, load_policies
    from blis.config.schema import ClusterOptions, Deployment, EngineConfig, EngineOptions, TraceOptions
    from blis.errors import (
        BlisError,
        CapacityError,
        CombinationError,
        ConfigError,
        EngineError,
        InputError,
        InvariantError,
        WorkloadError,
    )
    from blis.measurement.calibrate.calibrating import Calibration, calibrate
    from blis.measurement.fit.fit import Fit, FitOptions, fit_steps, fit_traces
    from blis.outcomes.event_log.recording import EventLog
    from blis.outcomes.outcomes import Outcomes
    from blis.outcomes.timeline.recording import Timeline
    from blis.policies.custom import admission_policy, priority_policy, routing_policy, step_time
    from blis.studies.capacity.capacity import Capacity, InstancesNeeded, capacity, instances_for
    from blis.studies.compare.comparison import Comparison, Comparisons, compare
    from blis.studies.evaluation import Scenario, evaluate
    from blis.studies.memory.asking import GpuMemory, gpu_memory
    from blis.studies.plan.planning import Plan, plan
    from blis.studies.sweep.sweeping import sweep
    from blis.workload.distribution import DistributionWorkload
    from blis.workload.frames import FrameWorkload
    from blis.workload.requests import LiteralTokens, RequestTable, TokenStreams
    from blis.workload.scenarios import scenario
    from blis.workload.spec import WorkloadSpec
    from blis.workload.spec_file import load_workload_spec
    from blis.workload.traces.loading import load_trace
    from blis.workload.traces.tracev2.tracev2 import TraceV2
    from blis.workload.workload import Workload

# spaCy's package of the same name was installed into this folder; pathlib would take as long as all else here
if os.path.exists(f"{__path__[0]}/cy.pyx"):  # noqa: PTH110
    from blis_sim import MIXED_UP

    raise ImportError(MIXED_UP)

__version__ = "0.1.0"

__all__ = [
    "BlisError",
    "Calibration",
    "Capacity",
    "CapacityError",
    "ClusterOptions",
    "CombinationError",
    "Comparison",
    "Comparisons",
    "ConfigError",
    "Deployment",
    "DistributionWorkload",
    "EngineConfig",
    "EngineError",
    "EngineOptions",
    "EventLog",
    "Fit",
    "FitOptions",
    "FrameWorkload",
    "FrontEnd",
    "GpuMemory",
    "InputError",
    "InstancesNeeded",
    "InvariantError",
    "LiteralTokens",
    "Outcomes",
    "Plan",
    "PolicyFile",
    "RequestTable",
    "Scenario",
    "Simulation",
    "Timeline",
    "TokenStreams",
    "TraceOptions",
    "TraceV2",
    "Workload",
    "WorkloadError",
    "WorkloadSpec",
    "__version__",
    "admission_policy",
    "calibrate",
    "capacity",
    "compare",
    "evaluate",
    "fit_steps",
    "fit_traces",
    "gpu_memory",
    "hardware",
    "instances_for",
    "load_policies",
    "load_trace",
    "load_workload_spec",
    "models",
    "plan",
    "prepare",
    "preset",
    "priority_policy",
    "routing_policy",
    "scenario",
    "simulate",
    "step_time",
    "sweep",
]

_MODULES = {
    "blis.api": ("Simulation", "prepare", "preset", "simulate"),
    "blis.measurement.calibrate.calibrating": ("Calibration", "calibrate"),
    "blis.studies.compare.comparison": ("Comparison", "Comparisons", "compare"),
    "blis.config.catalogue.frames": ("hardware", "models"),
    "blis.config.front_end": ("FrontEnd",),
    "blis.config.policy_file": ("PolicyFile", "load_policies"),
    "blis.config.schema": ("ClusterOptions", "Deployment", "EngineConfig", "EngineOptions", "TraceOptions"),
    "blis.errors": (
        "BlisError",
        "CapacityError",
        "CombinationError",
        "ConfigError",
        "EngineError",
        "InputError",
        "InvariantError",
        "WorkloadError",
    ),
    "blis.studies.evaluation": ("Scenario", "evaluate"),
    "blis.measurement.fit.fit": ("Fit", "FitOptions", "fit_steps", "fit_traces"),
    "blis.outcomes.event_log.recording": ("EventLog",),
    "blis.outcomes.outcomes": ("Outcomes",),
    "blis.studies.memory.asking": ("GpuMemory", "gpu_memory"),
    "blis.studies.plan.planning": ("Plan", "plan"),
    "blis.policies.custom": ("admission_policy", "priority_policy", "routing_policy", "step_time"),
    "blis.studies.capacity.capacity": ("Capacity", "InstancesNeeded", "capacity", "instances_for"),
    "blis.studies.sweep.sweeping": ("sweep",),
    "blis.outcomes.timeline.recording": ("Timeline",),
    "blis.workload.distribution": ("DistributionWorkload",),
    "blis.workload.frames": ("FrameWorkload",),
    "blis.workload.requests": ("LiteralTokens", "RequestTable", "TokenStreams"),
    "blis.workload.scenarios": ("scenario",),
    "blis.workload.spec": ("WorkloadSpec",),
    "blis.workload.spec_file": ("load_workload_spec",),
    "blis.workload.traces.loading": ("load_trace",),
    "blis.workload.traces.tracev2.tracev2": ("TraceV2",),
    "blis.workload.workload": ("Workload",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'blis' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
