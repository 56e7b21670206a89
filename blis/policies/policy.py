"""The seam at which policies of admission, routing and priority plug in.

A policy is compiled on its own (`numba.cfunc`), or calls back into Python, and is passed into the engine as a function
pointer, so that adding one changes nothing there. It sees a decision through three blocks of memory:

* ``words``: int64; the header `ViewWord`, behind it the columns `ViewColumn` with one value per instance,
* ``numbers``: float64; the columns `ViewNumber`,
* ``state``: float64; the policy's own, the same at every call of a run.

Admission answers 1 (admit) or 0, routing the index of an instance, both `RAISED` if they failed. Priority answers
a float64, the higher the more urgent, and NaN if it failed; it gets the header only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blis._core import codes
from blis._core.codes import ViewColumn, ViewNumber
from blis.compiled.function import Source

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Names of what a policy may read of an instance, in the order of the view.
INTEGER_COLUMNS = tuple(column.name.lower() for column in ViewColumn)
NUMBER_COLUMNS = tuple(column.name.lower() for column in ViewNumber if column != ViewNumber.SCORE)
COLUMNS = INTEGER_COLUMNS + NUMBER_COLUMNS


def _no_state(num_instances: int) -> Floats:
    return np.zeros(0)


def _no_failure(words: Ints, numbers: Floats, state: Floats) -> str:
    return "failed"


@dataclass(frozen=True)
class Policy:
    """A policy, ready to be compiled and passed into the engine.

    Attributes:
        name: of a built-in one, or ``function (file.py:line)`` of a user's own.
        compile: gives the function to pass into the entry; called once per run, must cache.
        reads: columns of instances it looks at, out of `COLUMNS`. Empty: it looks at nothing, and the instances
            need not be brought up to date for it.
        initial_state: the numbers (float64) its state starts with, by the number of instances; a new array each time.
        scores: whether it fills the column `ViewNumber.SCORE`.
        failure: what went wrong, in one line; asked with words, numbers and state as they were when it failed.
            A KeyboardInterrupt that came while the policy ran is raised again instead.
    """

    name: str
    compile: Callable[[], Any]
    reads: frozenset[str] = frozenset()
    initial_state: Callable[[int], Floats] = _no_state
    scores: bool = False
    failure: Callable[[Ints, Floats, Floats], str] = _no_failure


def decision_signature() -> Any:
    """The numba signature of admission and routing policies."""
    from numba import types

    return types.int64(*_pointers())


def priority_signature() -> Any:
    """The numba signature of priority policies."""
    from numba import types

    return types.float64(*_pointers())


def _pointers() -> tuple[Any, Any, Any]:
    from numba import types

    pointer: Any = types.CPointer
    return pointer(types.int64), pointer(types.float64), pointer(types.float64)


def decision(make: Callable[[], Callable[..., int]], name: str) -> Source:
    """What a built-in policy is compiled from.

    Args:
        make: gives the function.
        name: different from all others'.
    """
    files = (*sorted(Path(__file__).parent.glob("*.py")), Path(codes.__file__))
    return Source(make, name, files, decision_signature)
