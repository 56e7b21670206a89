"""How the engine is compiled: translated kernel by kernel, put together and optimised once.

numba makes machine code of each function for itself, with all that it calls, and optimises that anew within each of its
callers. But nobody calls kernels one by one. So they end as numba has translated them for LLVM, and
`blis.compiled.compiler` makes machine code of the door into the engine, which needs all of them. LLVM then sees
the whole engine when it decides what to inline.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class Translation(CPUCodeLibrary):
    """A function in LLVM's language, apart from what it calls, and not yet optimised."""

    def finalize(self) -> None:
        """Nothing will be added."""
        self._finalized = True

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def modules(self) -> list[Any]:
        """LLVM's modules of this function and of all that it calls, directly or not."""
        libraries: list[Any] = [self]
        for library in libraries:
            callees = library._linking_libraries if isinstance(library, Translation) else ()  # numba's own are whole
            libraries += dict.fromkeys(each for each in callees if each not in libraries)
        return [library._get_module_for_linking() for library in libraries]


@register_pass(mutates_CFG=True, analysis_only=False)
class _Translating(NativeLowering):
    _name = "translating"

    def run_pass(self, state: Any) -> bool:
        """Translate a function, and make it known to its callers."""
        state.library = Translation(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        name: Any = [].append  # numba knows functions by what could call them: some builtin function, each another
        state.targetctx.insert_user_function(name, state.cr.fndesc, [state.library])
        state.cr = state.cr._replace(cfunc=name)
        return True


class _Translator(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        """Let numba do all but its last pass."""
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.add_pass_after(_Translating, NativeLowering)
        pipeline.passes = [each for each in pipeline.passes if each[0] is not NativeLowering]
        pipeline.finalize()
        return [pipeline]


#: What is compiled sees only arrays and structs that Python has made: it allocates nothing and owns no references,
#: so reference counting (``_nrt``) is off, which halves its run time. Nothing of it can be called from Python.
OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
    "pipeline_class": _Translator,
}
kernel: Any = njit(**OPTIONS)
