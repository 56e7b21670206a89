"""What `import blis` offers: named once, documented, the same for people and for type checkers."""

import ast
import inspect
import tomllib
from pathlib import Path

import pytest

import blis

ROOT = Path(blis.__file__).parent.parent


def test_exported_names():
    assert blis.__all__ == sorted(blis.__all__)
    assert set(blis.__all__) == {
        "BlisError",
        "Capacity",
        "Calibration",
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
        "capacity",
        "calibrate",
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
    }
    assert dir(blis) == blis.__all__


@pytest.mark.parametrize("name", [name for name in blis.__all__ if name != "__version__"])
def test_names_resolve_and_are_documented(name):
    thing = getattr(blis, name)
    assert thing.__name__ == name
    assert inspect.getdoc(thing)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(blis.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, alias.name) for node in block.body for alias in node.names}
    assert seen == {(module, name) for name, module in blis._HOME.items()}
    assert (Path(blis.__file__).parent / "py.typed").exists()


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="simulat"):
        blis.simulat  # noqa: B018


def test_version_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert blis.__version__ == project["version"]
