"""Laws of step time and workloads that mappings in Python hold themselves, where a file would name them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import marshal
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from blis.api import as_workload
from blis.config.schema import StepTimeModel
from blis.policies.custom import load_latency_model
from blis.workload.frames import FrameWorkload
from blis.workload.requests import RequestTable
from blis.workload.workload import Workload

#: Keys of such things.
_KEYS = ("latency_model", "workload")
#: Letters of a digest that tell workloads apart.
_FEW = 8


class Named(str):
    """A name that stands for a thing wherever a text is needed.

    Attributes:
        thing: the law or the workload.
        digest: of what it is made of: other code, coefficients or requests give other runs.
    """

    thing: Any
    digest: str

    @classmethod
    def of(cls, key: str, thing: Any) -> Named:
        """A law by its name and place, a workload by its kind and digest.

        Raises:
            InputError: it is none.
        """
        if key == "workload":
            thing = as_workload(thing)
            digest = _digest(_parts_of_workload(thing))
            named = cls(f"{thing.describe()['kind']} {digest[:_FEW]}")
        else:
            model: StepTimeModel = thing if isinstance(thing, StepTimeModel) else load_latency_model(thing)
            digest = _digest(_parts_of_law(thing, model))
            named = cls(model.name)
        named.thing, named.digest = thing, digest
        return named


def with_names(spec: Any, key: str = "") -> Any:
    """What would stand in a file, with a `Named` for each law or workload that a mapping in Python holds itself.

    Args:
        spec: the mapping, or a part of it.
        key: under which that stands, if it is one of these things.

    Raises:
        InputError: what stands there is neither such a thing nor a name.
    """
    if isinstance(spec, Mapping):
        return {name: with_names(value, name if name in _KEYS else key) for name, value in spec.items()}
    if isinstance(spec, list):
        return [with_names(value, key) for value in spec]
    return Named.of(key, spec) if key and not isinstance(spec, str | None) else spec


def _digest(parts: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _parts_of_law(law: Any, model: StepTimeModel) -> Iterator[bytes]:
    if callable(law):
        function = getattr(law, "py_func", law)
        yield marshal.dumps(function.__code__)
        yield repr([cell.cell_contents for cell in function.__closure__ or ()]).encode()
    yield repr((model.alpha, model.parameters.tolist())).encode()


def _parts_of_workload(workload: Workload) -> Iterator[bytes]:
    yield json.dumps(workload.describe(), sort_keys=True, default=str).encode()
    if isinstance(workload, RequestTable | FrameWorkload):
        yield from _parts_of(workload.requests(0))


def _parts_of(value: Any) -> Iterator[bytes]:
    """All that a table holds."""
    if isinstance(value, np.ndarray):
        yield np.ascontiguousarray(value).tobytes()
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _parts_of(getattr(value, field.name))
    else:
        yield repr(value).encode()
