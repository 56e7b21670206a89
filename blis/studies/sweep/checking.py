"""A sweep is wrong before it begins, or not at all: every point is decided, every file read, before anything runs.

A point whose values are each valid but not together is no mistake: it cannot run, and the table says why.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blis.api import check_horizon
from blis.config.schema import is_function_name
from blis.errors import CombinationError, ConfigError, InputError
from blis.files.digest import sha256
from blis.files.existing import is_folder
from blis.studies.sweep.file import Sweep
from blis.studies.sweep.keys import KEYS
from blis.studies.sweep.named import Named
from blis.studies.sweep.points import Settings
from blis.studies.sweep.runner import Case
from blis.studies.sweep.work import Worker
from blis.studies.workload_flags import idle_fields
from blis.workload.distribution import DistributionWorkload
from blis.workload.frames import FrameWorkload
from blis.workload.requests import RequestTable
from blis.workload.spec import WorkloadSpec
from blis.workload.traces.loading import TraceFile
from blis.workload.traces.tracev2.tracev2 import TraceV2

_log = logging.getLogger("blis")

#: Workloads of which nothing is drawn.
_RECORDED = (TraceFile, TraceV2, RequestTable, FrameWorkload)
#: Why no point can run is told in so many reasons.
_MOST_REASONS = 3


@dataclass(frozen=True)
class Checked:
    """What is known of a sweep before it runs.

    Attributes:
        inputs: SHA-256 of every file that a point names, by the name it has in the sweep file.
        refused: why points cannot run, by their number; never all of them.
    """

    inputs: dict[str, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


def check_points(sweep: Sweep, worker: Worker) -> Checked:
    """Decide everything about every point; what is worth a warning is said once.

    Args:
        sweep: the points.
        worker: keeps what was read and decided.

    Raises:
        InputError: names the place in the sweep file, or the point; or no point can run.
    """
    checked = Checked()
    told: set[str] = set()
    idle: dict[str, str | None] = {}
    drawn: set[Any] = set()
    for index, point in enumerate(sweep.points):
        try:
            case = worker.cases.case(point.values)
            check_horizon(case.horizon_us)
            resolved = worker.runner.check(case)
            if not isinstance(case.workload, DistributionWorkload) and (case.workload, case.horizon_us) not in drawn:
                worker.runner.requests(case)
                drawn.add((case.workload, case.horizon_us))
        except CombinationError as error:
            checked.refused[index] = " ".join(str(error).split())
            continue
        except InputError as error:
            raise located(error, sweep.source, describe_point(index, point), point) from None
        told.update(resolved.warnings)
        if sweep.replications > 1 and isinstance(case.workload, _RECORDED):
            told.add("replications of a recorded trace are all alike: nothing in it is drawn")
        note_idle(idle, point)
        add_inputs(checked.inputs, point, case, sweep.folder)
    if len(checked.refused) == len(sweep.points):
        raise _nothing_runs(sweep, checked.refused)
    told |= set(idle_keys(idle))
    for text in sorted(told):
        _log.warning("%s", text)
    return checked


def describe_point(index: int, point: Settings) -> str:
    """A point by its number and everything that is set in it."""
    shown = (f"{name} {KEYS[name].cell(value)}" for name, value in point.values.items() if value is not None)
    return f"point {index} ({', '.join(shown)})"


def _nothing_runs(sweep: Sweep, refused: Mapping[int, str]) -> InputError:
    """The error that tells the reasons, each with the first point that has it."""
    first: dict[str, int] = {}
    for index, reason in refused.items():
        first.setdefault(reason, index)
    told = [f"{describe_point(index, sweep.points[index])}: {why}" for why, index in first.items()]
    more = f"; and {len(told) - _MOST_REASONS} more reasons" if len(told) > _MOST_REASONS else ""
    none = f"none of the {len(refused)} points can run; " if len(refused) > 1 else ""
    return CombinationError(f"{sweep.source}: {none}{'; '.join(told[:_MOST_REASONS])}{more}")


def note_idle(idle: dict[str, str | None], point: Settings) -> None:
    """Note keys that do nothing with the workload of this point, and have done nothing so far; None: they have."""
    said = {name: value for name, value in point.values.items() if value is not None}
    fields, kind, value = idle_fields({KEYS[name].field: value for name, value in said.items()})
    for name in said:
        if KEYS[name].field not in fields:
            idle[name] = None
        else:
            idle.setdefault(name, f"{kind} {value}")


def idle_keys(idle: Mapping[str, str | None]) -> Iterator[str]:
    """A sentence for each key that did nothing, of what was noted."""
    return (f"{name} has no effect with {cause}" for name, cause in idle.items() if cause is not None)


def located(error: InputError, source: str, described: str, point: Settings) -> InputError:
    """The error with the place of the value that is wrong, or else the point as it is ``described``."""
    text = str(error)
    field, colon, problem = text.partition(": ")
    field = field.partition("[")[0]
    for name, place in point.places.items():
        if colon and KEYS[name].field == field:
            return ConfigError(f"{source}: {place}: {problem}")
    return type(error)(f"{source}: {described}: {text}")


def add_inputs(inputs: dict[str, str], point: Settings, case: Case, folder: Path) -> None:
    """Note the digests of the files that a point names, unless they are known."""
    for name, value in point.values.items():
        if KEYS[name].kind == "path" and value is not None and value not in inputs:
            path = folder / value
            is_spec = isinstance(case.workload, WorkloadSpec) and name == "workload_spec"
            inputs[value] = _spec_digest(case.workload) if is_spec else _digest(path)
        if isinstance(value, Named) and value not in inputs:
            inputs[value] = value.digest
    law = case.deployment.latency_model
    named = (
        law if isinstance(law, str) else "",
        case.engine.priority_policy,
        case.cluster.admission_policy,
        case.cluster.routing_policy,
    )
    for name in filter(is_function_name, named):
        path = Path(name.rpartition(":")[0])
        if path.suffix == ".py" and path.name not in inputs:
            inputs[path.name] = _digest(path)


def _digest(path: Path) -> str:
    if is_folder(path):
        path /= "config.json"  # of a model; nothing else of the folder is read
    return sha256(path)


def _spec_digest(spec: Any) -> str:
    """Digest of a workload spec with the files that it names, wherever it lies."""
    values: Mapping[str, Any] = {**spec.describe(), "source": ""}
    data = values["servegen_data"]
    if data is not None:
        values = {**values, "servegen_data": {**data, "path": ""}}
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
