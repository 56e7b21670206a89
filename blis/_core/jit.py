"""How the engine is compiled: options for kernels, and the one cached entry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.experimental import jitclass  # type: ignore[attr-defined]

#: Kernels see only arrays and jitclasses made by the entry: they allocate nothing and own no references,
#: so reference counting (``_nrt``) is off, which halves their run time. With it off a jitclass scalar can't
#: be assigned: what changes lives in arrays. Without Python wrappers compiling is a tenth faster.
kernel: Any = njit(  # type: ignore[call-overload]
    nogil=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    _nrt=False,
)


def struct(cls: type) -> Any:
    """Make a jitclass of an annotated class; its constructor takes the fields in order, as a dataclass's does."""
    fields = list(cls.__annotations__)
    body = "".join(f"    self.{field} = {field}\n" for field in fields)
    namespace: dict[str, Any] = {}
    exec(f"def __init__(self, {', '.join(fields)}):\n{body}", namespace)
    cls.__init__ = namespace["__init__"]  # type: ignore[misc]
    return jitclass(cls)


def source_digest() -> str:
    """Digest of everything the compiled engine depends on.

    numba's cache looks at the entry's own file only: without this, editing a kernel elsewhere or switching
    bounds checks on would silently run the old code.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    boundscheck = numba.config.BOUNDSCHECK  # type: ignore[attr-defined]
    digest.update(f"{numba.__version__} {boundscheck}".encode())
    return digest.hexdigest()


class Entry:
    """A function that is compiled when it is first called, and always called with arguments of the same types.

    From then on numba's dispatcher, which looks at the type of every array of every call, is passed by.

    Attributes:
        dispatcher: numba's.
    """

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher
        self._compiled: Callable[..., Any] | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether it was called before."""
        return self._compiled is not None

    def __call__(self, *arguments: Any) -> Any:
        if self._compiled is not None:
            return self._compiled(*arguments)
        result = self.dispatcher(*arguments)
        (signature,) = self.dispatcher.signatures
        self._compiled = self.dispatcher.get_overload(signature)
        return result


def compiled_entry(bind: Callable[[str], Callable[..., Any]]) -> Any:
    """Compile the function that ``bind(digest)`` returns, with a cache if there is a place for one.

    ``bind`` must return a closure over its argument: closure cells are part of numba's cache key.
    """
    function = bind(source_digest())
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    try:
        return Entry(njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba's "no locator available": no writable directory for the cache
        return Entry(njit(nogil=True)(function))
