"""Where machine code is kept between processes, and where what comes with the package lies.

A file per function (`blis.files.kept`): what else is known in a line of JSON, and the code.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from blis.files import kept

_PACKAGE = Path(__file__).parents[1]
#: What comes with the package, for the kind of machine that it was built on.
SHIPPED = Path(__file__).with_name("shipped")
#: Files with all that makes code of a function, but for numba and LLVM.
_COMPILER = (Path(__file__).with_name("compiler.py"),)
_WITHOUT_EFFECT = ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")


@dataclass(frozen=True)
class MachineCode:
    """A function as an object file.

    Attributes:
        symbol: the function's name in it.
        needs: names that it needs of the process.
        code: the file's bytes.
    """

    symbol: str
    needs: tuple[str, ...]
    code: bytes


@dataclass(frozen=True)
class Key:
    """Under what code is kept.

    Attributes:
        file_name: the same after an edit, whose code takes the place of the older one.
        digest: of everything on which the code depends.
        folder: where it is; None: where this process may write.
    """

    file_name: str
    digest: bytes
    folder: Path | None = None


def key_of(name: str, sources: Iterable[Path], platform: str) -> Key:
    """The key of a function's code.

    Args:
        name: of the function.
        sources: files with all that is compiled into it.
        platform: kind of processor and system.
    """
    place = repr((name, str(_PACKAGE), platform, sys.version, *_settings())).encode()
    digest = _digest(place, (*sources, *_files_of_numba()))
    return Key(f"{name}.{hashlib.sha256(place).hexdigest()[:16]}.code", digest)


def shipped_key_of(name: str, sources: Iterable[Path], platform: str, folder: Path = SHIPPED) -> Key:
    """The same of code that comes with the package.

    Whichever numba has compiled it, it is made of these sources, and needs nothing of numba or Python.
    """
    place = repr((name, platform, *_settings())).encode()
    return Key(f"{name}.{platform}.code", _digest(place, sources), folder)


def _digest(place: bytes, sources: Iterable[Path]) -> bytes:
    digest = hashlib.sha256(place)
    for path in (*sources, *_COMPILER):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _settings() -> list[str]:
    """What numba is told about compiling; nothing is, where it isn't to compile."""
    told = sorted(name for name in os.environ if name.startswith("NUMBA_") and name not in _WITHOUT_EFFECT)
    return [f"{name}={os.environ[name]}" for name in told]


def _files_of_numba() -> Iterator[Path]:
    """What says its version, found without importing it."""
    spec = find_spec("numba")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).with_name("_version.py")


def read(key: Key) -> MachineCode | None:
    """The code with this key; None: there is none."""
    data = kept.read(key.file_name, key.digest, key.folder)
    if data is None:
        return None
    head, _, code = data.partition(b"\n")
    known = json.loads(head)
    return MachineCode(known["symbol"], tuple(known["needs"]), code)


def write(key: Key, machine_code: MachineCode) -> None:
    """Keep code; where no place takes it, the next process compiles again."""
    known = asdict(machine_code)
    code = known.pop("code")
    kept.write(key.file_name, key.digest, json.dumps(known).encode() + b"\n" + code, key.folder)
