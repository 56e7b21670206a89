"""The compiled engine and its structs; or the same as plain Python objects under ``NUMBA_DISABLE_JIT=1``."""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import blis._core
from blis._core import layout
from blis._core.codes import RAISED
from blis.compiled.function import Source, address_of, compiled, is_interpreted
from blis.errors import InvariantError
from blis.simulation.packing import SHARED, Columns, Unused, of_instance
from blis.workload.requests import Ints

logger = logging.getLogger("blis")

#: An engine that is not loaded after this long is being compiled; that is announced.
ANNOUNCE_AFTER_S = 1.0
_INTERFACE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)


@functools.cache
def load(ahead: bool) -> Any:
    """An engine, compiled, or loaded with what an earlier process compiled; says so if that takes long."""
    text = "compiling the engine (once per version and machine, about 10 s)"
    timer = threading.Timer(ANNOUNCE_AFTER_S, logger.warning, (text,))
    timer.daemon = True
    timer.start()
    try:
        return compiled(engine(ahead=ahead))
    finally:
        timer.cancel()
        timer.join()  # a process of one thread can be copied


def engine(*, ahead: bool = False) -> Source:
    """What an engine is compiled from: `blis._core.entry.run`, or `run_ahead`."""
    files = tuple(sorted(Path(*blis._core.__path__).glob("*.py")))
    return Source(_entry_ahead if ahead else _entry, "engine-ahead" if ahead else "engine", files, _signature)


def _signature() -> Any:
    from numba import types

    return types.int64(types.int64, types.int64, types.int64)


def _entry() -> Callable[[Any, Any, int], int]:
    from blis._core.entry import run

    entry: Callable[[Any, Any, int], int] = run
    return entry


def _entry_ahead() -> Callable[[Any, Any, int], int]:
    from blis._core.entry import run_ahead

    entry: Callable[[Any, Any, int], int] = run_ahead
    return entry


def struct_of(kind: type, columns: Columns, **structs: Any) -> Any:
    """A struct of arrays, numbers and other structs."""
    if isinstance(columns, Unused) and not structs:
        return _unused_struct_of(kind, columns)
    return _struct_of(kind, {**columns, **structs})


def _struct_of(kind: type, values: Columns) -> Any:
    return kind(*values.values()) if is_interpreted() else layout.struct_of(kind, values)


@functools.cache
def _unused_struct_of(kind: type, columns: Unused) -> Any:
    return _struct_of(kind, columns)


def structs_of(kind: type, columns: Columns, count: int, **structs: Any) -> Any:
    """One struct per instance, of the arrays that each gets, and of other structs: one for all, or one for each."""
    if is_interpreted():
        parts = [part if isinstance(part, list) else [part] * count for part in structs.values()]
        return [kind(*of_instance(columns, i), *(part[i] for part in parts)) for i in range(count)]
    shared = SHARED | {name for name, part in structs.items() if part.words.ndim == 1}
    return layout.structs_of(kind, {**columns, **structs}, count, shared)


def handles_of(structs: Any) -> Ints:
    """What the engine knows the instances by."""
    if is_interpreted():
        return np.array([id(struct) for struct in structs], np.int64)
    return layout.addresses_of(structs)


def door(cluster: Any, laws: tuple[Any, ...], *, ahead: bool) -> Callable[[int], int]:
    """What lets so many steps and events happen, compiled or loaded if need be; see `blis._core.entry`.

    Args:
        cluster: a struct.
        laws: arrays and functions in the order of the constants in `blis._core.state`.
        ahead: which engine.
    """
    run = load(ahead)
    if is_interpreted():
        plain = tuple(law.ctypes if isinstance(law, np.ndarray) else law for law in laws)
        return lambda most: run(id(cluster), plain, most)
    words = np.array([_address(law) for law in laws], np.int64)
    where = layout.address_of(cluster.words), layout.address_of(words)
    return functools.partial(_go_on, _INTERFACE(run.address), *where, alive=(run, cluster, words, laws))


def _go_on(call: Callable[[int, int, int], int], cluster: int, laws: int, most: int, *, alive: Any) -> int:
    """Call the engine; what it is given stays alive meanwhile."""
    reason = call(cluster, laws, most)
    if reason == RAISED:
        raise InvariantError("compiled code went beyond an array; NUMBA_DISABLE_JIT=1 shows where")
    return reason


def _address(law: Any) -> int:
    """Where an array or a function begins; 0: there is none."""
    if isinstance(law, np.ndarray):
        return layout.address_of(law)
    return 0 if law is None else address_of(law)
