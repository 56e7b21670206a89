"""Output files: checked before a run, and never half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blis.errors import InputError


def check_output(path: Path) -> None:
    """Make sure that a file can be written, before anything costly is done.

    Raises:
        InputError: the path is a directory, or its folder does not exist or is not writable.
    """
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name a file")
    if not folder.is_dir():
        raise InputError(f"{path}: there is no directory {folder}")
    if not os.access(path if _is_special(path) else folder, os.W_OK):
        raise InputError(f"{path}: no permission to write there")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` which takes its place if all went well, and vanishes if not.

    Pipes and devices (``/dev/stdout``) cannot be replaced and are written as they are.
    """
    if _is_special(path):
        yield path
        return
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()
