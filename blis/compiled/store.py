"""Where machine code is kept between processes.

A file per function: a digest, what else is known in a line of JSON, and the code. The digest covers all of this and
the key, so that a file that is damaged, or of another version of anything, is the same as none. Files are replaced as
a whole, and any number of processes may read and write them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from blis.files.output import replacing

_PACKAGE = Path(__file__).parents[1]
_WITHOUT_EFFECT = ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")
_DIGEST_BYTES = hashlib.sha256().digest_size


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
    """

    file_name: str
    digest: bytes


def key_of(name: str, sources: Iterable[Path], machine: str) -> Key:
    """The key of a function's code.

    Args:
        name: of the function.
        sources: files with all that is compiled into it.
        machine: processor and compiler, but for numba.
    """
    place = hashlib.sha256(repr((name, str(_PACKAGE), machine, _settings())).encode())
    digest = place.copy()
    for path in (*sources, *_files_of_numba()):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return Key(f"{name}.{place.hexdigest()[:16]}.code", digest.digest())


def _settings() -> tuple[str, ...]:
    """What numba is told about compiling; nothing is, where it isn't to compile."""
    told = sorted(name for name in os.environ if name.startswith("NUMBA_") and name not in _WITHOUT_EFFECT)
    return (sys.version, *(f"{name}={os.environ[name]}" for name in told))


def _files_of_numba() -> Iterator[Path]:
    """What says its version, found without importing it."""
    spec = find_spec("numba")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).with_name("_version.py")


def read(key: Key) -> MachineCode | None:
    """The code with this key, from the first place that has it; None: there is none."""
    for folder in _folders():
        with suppress(OSError):
            data = (folder / key.file_name).read_bytes()
            digest, rest = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
            if digest == hashlib.sha256(key.digest + rest).digest():
                head, _, code = rest.partition(b"\n")
                known = json.loads(head)
                return MachineCode(known["symbol"], tuple(known["needs"]), code)
    return None


def write(key: Key, machine_code: MachineCode) -> None:
    """Keep code in the first place that takes it; without any, the next process compiles again."""
    known = asdict(machine_code)
    code = known.pop("code")
    rest = json.dumps(known).encode() + b"\n" + code
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / key.file_name) as path:
                path.write_bytes(hashlib.sha256(key.digest + rest).digest() + rest)
            return


def _folders() -> list[Path]:
    """Beside the package, or among the user's files where that is read-only, unless numba is told a place."""
    if told := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(told)]
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [_PACKAGE / "__pycache__", user / "blis"]
