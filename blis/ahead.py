"""All that a run may have to compile, compiled before anybody waits for it: when a package is built, or an image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blis.compiled import store
from blis.compiled.function import Source, compiled, is_interpreted, machine_code, platform
from blis.config.schema import ADMISSION_POLICIES, ROUTING_POLICIES
from blis.errors import ConfigError, EngineError
from blis.latency import blackbox, roofline
from blis.policies import admission, routing
from blis.simulation import native


def sources() -> Iterator[Source]:
    """The engines, the built-in laws of step time, and the built-in policies."""
    yield from (native.engine(ahead=ahead) for ahead in (False, True))
    yield from (blackbox.source(), roofline.source())
    yield from map(admission.source, ADMISSION_POLICIES)
    yield from map(routing.source, ROUTING_POLICIES)


def compile_ahead() -> Iterator[tuple[str, bool]]:
    """Compile what is not there yet, for later processes to find.

    Yields:
        name of a function, and whether its code was there.

    Raises:
        ConfigError: nothing is to be compiled.
        EngineError: code cannot be kept.
    """
    if is_interpreted():
        raise ConfigError("NUMBA_DISABLE_JIT is set: nothing is to be compiled")
    for source in sources():
        was_there = compiled(source).is_stored
        if not was_there and store.read(store.key_of(source.name, source.files, platform())) is None:
            raise EngineError(
                "what was compiled cannot be kept: no place for it can be written; NUMBA_CACHE_DIR names one"
            )
        yield source.name, was_there


def ship(folder: Path = store.SHIPPED) -> list[Path]:
    """Compile into a folder of the package, which then needs no compiler on machines of this kind.

    Returns:
        the files, of what is in use only.
    """
    files = []
    for source in sources():
        key = store.shipped_key_of(source.name, source.files, platform(), folder)
        if store.read(key) is None:
            store.write(key, machine_code(source))
        files.append(folder / key.file_name)
    return files
