"""The engine, and the functions that it calls, as machine code behind addresses.

numba compiles a function once per version and machine. Its machine code is kept (`blis.compiled.store`), and processes
that find it load it by llvmlite alone: importing numba takes longer than all the rest of a short run.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blis.compiled import store
from blis.compiled.store import MachineCode

#: numba reads its settings from here, too, in the working directory.
_SETTINGS_FILE = Path(".numba_config.yaml")
#: Without Python wrappers, which nobody calls, compiling is a tenth faster; `blis._core.jit` says why not to count.
_ENTRY_OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}
_lock = threading.Lock()


@dataclass(frozen=True)
class CompiledFunction:
    """Machine code in this process.

    Attributes:
        address: where it begins.
        is_stored: whether it was found, not compiled.
        owner: what keeps it alive.
    """

    address: int
    is_stored: bool
    owner: Any


class Entry:
    """A function of int64, compiled as numba compiles: what it returns is whether it failed."""

    def __init__(self, function: CompiledFunction, num_arguments: int) -> None:
        self._function = function
        words = [ctypes.c_int64] * num_arguments
        self._call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *words)(function.address)

    def __call__(self, *arguments: int) -> int:
        """Call it; other threads go on meanwhile.

        Raises:
            RuntimeError: it failed, as it does only where it was compiled with ``NUMBA_BOUNDSCHECK=1``.
        """
        result, error = ctypes.c_int64(), ctypes.c_void_p()
        if status := self._call(ctypes.byref(result), ctypes.byref(error), *arguments):
            raise RuntimeError(f"compiled code failed with status {status}; NUMBA_DISABLE_JIT=1 shows where")
        return result.value


def is_interpreted() -> bool:
    """Whether nothing is to be compiled (``NUMBA_DISABLE_JIT=1``)."""
    if "numba" in sys.modules or _SETTINGS_FILE.exists():
        from numba import config

        return bool(config.DISABLE_JIT)  # type: ignore[attr-defined]
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def callback(
    make: Callable[[], Callable[..., Any]],
    name: str,
    sources: Iterable[Path],
    signature: Callable[[], Any],
    **options: Any,
) -> Any:
    """A function with the interface of C; as it is where nothing is to be compiled.

    Args:
        make: gives the function; asked only if it has to be compiled.
        name: of the function, different from all others'.
        sources: files with all that is compiled into it; none: its code is not kept.
        signature: gives its numba signature.
        options: of `numba.cfunc`.
    """
    if is_interpreted():
        return _interpreted(make())

    def compile_() -> tuple[CompiledFunction, MachineCode | None]:
        from numba import cfunc

        function: Any = cfunc(signature(), **options)(make())
        code = _machine_code(function.native_name, lambda: function._library)
        return CompiledFunction(function.address, is_stored=False, owner=function), code

    return _kept(compile_, name, tuple(sources))


def entry(make: Callable[[], Callable[..., int]], name: str, sources: Iterable[Path], num_arguments: int) -> Any:
    """A function of so many int64 that gives an int64; otherwise as `callback`."""
    if is_interpreted():
        return make()

    def compile_() -> tuple[CompiledFunction, MachineCode | None]:
        from numba import njit, types

        signature = types.int64(*[types.int64] * num_arguments)
        compiled = njit(signature, **_ENTRY_OPTIONS)(make()).overloads[signature.args]
        symbol = compiled.fndesc.llvm_func_name
        address = compiled.library.get_pointer_to_function(symbol)
        code = _machine_code(symbol, lambda: compiled.library)
        return CompiledFunction(address, is_stored=False, owner=compiled), code

    return Entry(_kept(compile_, name, tuple(sources)), num_arguments)


def files_beside(function: Any) -> list[Path]:
    """All modules of the folder that a function stands in; none if it stands in no file."""
    path = Path(function.__code__.co_filename)
    return sorted(path.parent.glob("*.py")) if path.is_file() else []


def _kept(
    compile_: Callable[[], tuple[CompiledFunction, MachineCode | None]], name: str, sources: tuple[Path, ...]
) -> CompiledFunction:
    """What was compiled before, or is now."""
    with _lock:
        if not sources:
            return compile_()[0]
        key = store.key_of(name, sources, _machine())
        found = store.read(key)
        if found is not None and (loaded := _load(found)) is not None:
            return loaded
        function, code = compile_()
        if code is not None:
            store.write(key, code)
        return function


def _machine() -> str:
    """The processor, and what code is made and loaded with."""
    import llvmlite
    from llvmlite import binding

    features = binding.get_host_cpu_features().flatten()
    return f"{binding.get_process_triple()} {binding.get_host_cpu_name()} {features} {llvmlite.__version__}"


def _load(machine_code: MachineCode) -> CompiledFunction | None:
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
    return CompiledFunction(engine.get_function_address(machine_code.symbol), is_stored=True, owner=engine)


def _machine_code(symbol: str, library_of: Callable[[], Any]) -> MachineCode | None:
    """What numba keeps in its own caches, and offers nobody else; None if it is of use to this process only.

    `tests/test_compiled.py` fails when numba changes this; until then all is compiled in each process.
    """
    from llvmlite import binding

    try:
        library = library_of()
        if library.has_dynamic_globals:  # addresses of this process
            return None
        module, code = library._final_module, library._get_compiled_object()
    except (AttributeError, RuntimeError, ValueError):
        return None
    symbols = [each for each in (*module.functions, *module.global_variables) if each.is_declaration]
    needs = sorted(each.name for each in symbols if not each.name.startswith("llvm."))
    if not all(map(binding.address_of_symbol, needs)) or any(map(_is_of_numba, needs)):
        return None
    return MachineCode(symbol, tuple(needs), code)


def _is_of_numba(name: str) -> bool:
    """Whether a symbol is there only once numba is imported."""
    return name.startswith(("NRT_", "numba_"))


def _interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function for an engine that runs as plain Python and hands over ``array.ctypes`` where C has pointers."""
    from numpy.ctypeslib import as_ctypes_type

    def pointer(argument: Any) -> Any:
        if not hasattr(argument, "data_as"):
            return argument
        return argument.data_as(ctypes.POINTER(as_ctypes_type(argument._arr.dtype)))

    return lambda *arguments: function(*map(pointer, arguments))
