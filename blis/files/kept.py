"""What is costly to make and always the same, kept in files from one process to the next.

The digest in front of each file covers what it depends on and what is in it, so that a file that is damaged, or of
another version of anything, is the same as none. Files are replaced as a whole, and any number of processes may read
and write them.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from blis.files.output import replacing

_PACKAGE = Path(__file__).parents[1]
_DIGEST_BYTES = hashlib.sha256().digest_size


def read(name: str, digest: bytes, folder: Path | None = None) -> bytes | None:
    """What is kept, from the first place that has it; None: there is none.

    Args:
        name: of the file.
        digest: of everything on which it depends.
        folder: the only place to look at.
    """
    for place in _folders() if folder is None else [folder]:
        with suppress(OSError):
            data = (place / name).read_bytes()
            content = data[_DIGEST_BYTES:]
            if data[:_DIGEST_BYTES] == hashlib.sha256(digest + content).digest():
                return content
    return None


def write(name: str, digest: bytes, data: bytes, folder: Path | None = None) -> None:
    """Keep data in the first place that takes it, instead of what had that name; without any, nothing is kept."""
    for place in _folders() if folder is None else [folder]:
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            with replacing(place / name) as path:
                path.write_bytes(hashlib.sha256(digest + data).digest() + data)
            return


def _folders() -> list[Path]:
    """Beside the package, or among the user's files where that is read-only, unless numba is told a place."""
    if told := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(told)]
    folders = [_PACKAGE / "__pycache__"]
    with suppress(RuntimeError):  # users without a home, as in some containers
        folders.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blis")
    return folders
