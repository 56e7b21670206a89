"""From a Python function to machine code that needs nothing of numba any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding
from numba import njit, types

from blis._core.codes import RAISED
from blis._core.jit import OPTIONS
from blis.compiled.store import MachineCode

_DOOR = "blis_door"
_TYPES = {types.int64: "i64", types.float64: "double"}  # all others are pointers
_FAILED = {types.int64: str(RAISED), types.float64: "0x7FF8000000000000"}


def machine_code(function: Callable[..., Any], signature: Any) -> MachineCode:
    """Compile a function, and a door with the interface of C.

    Args:
        function: what to compile.
        signature: of numba, of int64, float64 and pointers.
    """
    compiled: Any = njit(signature, **OPTIONS)(function)
    translated = compiled.overloads[signature.args]
    symbol = translated.fndesc.llvm_func_name
    module = binding.parse_assembly(_door(symbol, signature))
    for part in translated.library.modules():
        module.link_in(part, preserve=True)
    target_machine = _target_machine()
    _optimise(module, target_machine)
    module.verify()
    declared = (each for each in (*module.functions, *module.global_variables) if each.is_declaration)
    needs = tuple(sorted(each.name for each in declared if not each.name.startswith("llvm.")))
    return MachineCode(_DOOR, needs, target_machine.emit_object(module))


def _door(symbol: str, signature: Any) -> str:
    """A C function that calls one of numba's.

    These return whether they failed and store, through two more pointers, what they return or why they failed.
    """
    result = _TYPES[signature.return_type]
    kinds = [_TYPES.get(argument, "ptr") for argument in signature.args]
    arguments = ", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds))
    return f"""
declare i32 @"{symbol}"(ptr, ptr, {", ".join(kinds)})

define {result} @{_DOOR}({arguments}) {{
  %result = alloca {result}
  %error = alloca ptr
  %status = call i32 @"{symbol}"(ptr %result, ptr %error, {arguments})
  %value = load {result}, ptr %result
  %is_good = icmp eq i32 %status, 0
  %answer = select i1 %is_good, {result} %value, {result} {_FAILED[signature.return_type]}
  ret {result} %answer
}}
"""


def _target_machine() -> Any:
    """The least of this kind: integers, branches and memory gain nothing by what newer processors have besides."""
    return binding.Target.from_default_triple().create_target_machine(
        opt=3, reloc="default", codemodel="jitdefault", jit=True
    )


def _optimise(module: Any, target_machine: Any) -> None:
    """Optimise everything together; what has gone into the door is dropped."""
    for function in module.functions:
        if not function.is_declaration and function.name != _DOOR:
            function.linkage = "internal"
    builder = binding.create_pass_builder(target_machine, binding.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
