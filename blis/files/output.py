"""Output files: checked before a run, and never half-written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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


def check_outputs(outputs: Iterable[tuple[str, Path]], inputs: Iterable[tuple[str, Path]]) -> None:
    """Refuse files that could not be written, or would overwrite each other or an input.

    Args:
        outputs: flag and path of every file that is going to be written.
        inputs: those of the files that are read.

    Raises:
        InputError: as said; names path and flags.
    """
    taken = list(inputs)
    for flag, path in outputs:
        check_output(path)
        for other, used in taken:
            if used.resolve() == path.resolve():
                raise InputError(f"{path}: given for both {other} and {flag}")
        taken.append((flag, path))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` which takes its place if all went well, and vanishes if not.

    Pipes and devices (``/dev/stdout``) cannot be replaced and are written as they are.

    Raises:
        OSError: it could not be written; names ``path``.
    """
    if _is_special(path):
        with naming(path):
            yield path
        return
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with naming(path):
            yield temporary
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make whatever the system refuses in the block an error that names ``path``, and no temporary one or none."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, reason, str(path)) from error


@contextmanager
def scratch_for(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file without a name, on the disk where ``path`` is going to be."""
    folder = None if _is_special(path) else path.resolve().parent
    with tempfile.TemporaryFile(dir=folder) as file:
        yield file


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()
