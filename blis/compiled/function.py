"""The engine, and the functions that it calls, as machine code behind addresses.

numba compiles a function once per version and machine. Its machine code is kept (`blis.compiled.store`), and processes
that find it load it by llvmlite alone: importing numba takes longer than all the rest of a short run.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blis.compiled import store
from blis.compiled.store import MachineCode

#: numba reads its settings from here, too, in the working directory.
_SETTINGS_FILE = Path(".numba_config.yaml")
_lock = threading.Lock()


def _renew_lock() -> None:
    """In a copy of this process nobody goes on who held it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@dataclass(frozen=True)
class CompiledFunction:
    """A C function in this process.

    Attributes:
        address: where it begins.
        is_stored: whether its code was found, not compiled.
        owner: what keeps it alive.
    """

    address: int
    is_stored: bool
    owner: Any


@functools.cache
def is_interpreted() -> bool:
    """Whether nothing is to be compiled (``NUMBA_DISABLE_JIT=1``)."""
    if "numba" in sys.modules or _SETTINGS_FILE.exists():
        from numba import config

        return bool(config.DISABLE_JIT)  # type: ignore[attr-defined]
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@dataclass(frozen=True)
class Source:
    """What is compiled.

    Attributes:
        make: gives the function; asked only if it has to be compiled.
        name: of the function, different from all others'.
        files: with all that is compiled into it; none: its code is not kept.
        signature: gives its numba signature, of int64, float64 and pointers.
    """

    make: Callable[[], Callable[..., Any]]
    name: str
    files: tuple[Path, ...]
    signature: Callable[[], Any]


def compiled(source: Source) -> Any:
    """A function with the interface of C; as plain Python, for an engine that is, where nothing is to be compiled.

    What raises an exception returns `blis._core.codes.RAISED`, or NaN.
    """
    if is_interpreted():
        return _interpreted(source.make())
    with _lock:
        for found in _stored(source):
            if (function := loaded(found, is_stored=True)) is not None:
                return function
        code = machine_code(source)
        if source.files:
            store.write(store.key_of(source.name, source.files, platform()), code)
        return loaded(code, is_stored=False)


def _stored(source: Source) -> Iterator[MachineCode]:
    """What came with the package, or an earlier process has kept."""
    if source.files:
        for key in (store.shipped_key_of, store.key_of):
            found = store.read(key(source.name, source.files, platform()))
            if found is not None:
                yield found


def machine_code(source: Source) -> MachineCode:
    """Compile."""
    from blis.compiled import compiler

    return compiler.machine_code(source.make(), source.signature())


def platform() -> str:
    """Kind of processor and system: code runs on all of a kind (`blis.compiled.compiler`)."""
    from llvmlite import binding

    triple: str = binding.get_process_triple()
    return triple


def loaded(machine_code: MachineCode, *, is_stored: bool) -> CompiledFunction | None:
    """The function with this code; None if this process lacks something that it needs, where LLVM would end it."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target_machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine)
    if not all(map(binding.address_of_symbol, machine_code.needs)):
        return None
    engine.add_object_file(binding.ObjectFileRef.from_data(machine_code.code))
    engine.finalize_object()
    return CompiledFunction(engine.get_function_address(machine_code.symbol), is_stored, engine)


def address_of(function: Any) -> int:
    """Where a function begins that is compiled by this module or by `numba.cfunc`, or that calls back into Python."""
    address: int = function.__wrapper_address__() if hasattr(function, "__wrapper_address__") else function.address
    return address


def files_beside(function: Any) -> tuple[Path, ...]:
    """All modules of the folder that a function stands in; none if it stands in no file."""
    path = Path(function.__code__.co_filename)
    return tuple(sorted(path.parent.glob("*.py"))) if path.is_file() else ()


def _interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function for an engine that runs as plain Python and hands over ``array.ctypes`` where C has pointers."""
    from numpy.ctypeslib import as_ctypes_type

    def pointer(argument: Any) -> Any:
        if not hasattr(argument, "data_as"):
            return argument
        return argument.data_as(ctypes.POINTER(as_ctypes_type(argument._arr.dtype)))

    return lambda *arguments: function(*map(pointer, arguments))
