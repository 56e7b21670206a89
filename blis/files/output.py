"""Output files: checked before a run, and never half-written."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from blis.errors import InputError
from blis.files.temporary import temporary_beside

_SPECIAL = {stat.S_IFBLK: "a block device", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a directory"}


def check_output(path: Path, *, parquet: bool = False) -> None:
    """Make sure that a file can be written, before anything costly is done.

    Args:
        path: of the file.
        parquet: whether it is going to be a Parquet file, which no pipe takes.

    Raises:
        InputError: the path is a directory, read-only or has a name that no file can have, or its folder does not exist
            or takes no files; or it is a pipe that is to take a Parquet file.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        kind = stat.S_IFREG
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written: {_reason(error)}") from None
    if kind in _SPECIAL:
        raise InputError(f"{path}: is {_SPECIAL[kind]}; name a file")
    if kind != stat.S_IFREG:
        _check_device(path, parquet)
        return
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # of links in a circle
        raise InputError(f"{path}: is a link to itself; name a file") from None
    if not target.parent.is_dir():
        raise InputError(f"{path}: there is no directory {target.parent if path.is_symlink() else path.parent}")
    if not os.access(target.parent, os.W_OK) or (target.exists() and not os.access(target, os.W_OK)):
        raise InputError(f"{path}: no permission to write there")
    try:
        with temporary_beside(target):
            pass
    except OSError as error:  # a full quota, a file system that is read-only, …
        raise InputError(f"{path}: cannot be written: {_reason(error)}") from None


def check_outputs(
    outputs: Iterable[tuple[str, Path]], inputs: Iterable[tuple[str, Path]], *, parquet: Container[str] = ()
) -> None:
    """Refuse files that could not be written, or would overwrite each other or an input.

    Args:
        outputs: flag and path of every file that is going to be written.
        inputs: those of the files that are read.
        parquet: flags whose files are Parquet files.

    Raises:
        InputError: as said; names path and flags.
    """
    taken = list(inputs)
    for flag, path in outputs:
        check_output(path, parquet=flag in parquet)
        for other, used in taken:
            if os.path.realpath(used) == os.path.realpath(path):
                raise InputError(f"{path}: given for both {other} and {flag}")
        taken.append((flag, path))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty file beside ``path`` which takes its place if all went well, and vanishes if not.

    Any number of threads and processes may write one path: the last one's file stays. Pipes and devices
    (``/dev/stdout``) cannot be replaced and are written as they are.

    Raises:
        OSError: it could not be written; names ``path``.
    """
    with naming(path):
        if _is_special(path):
            yield path
            return
        target = path.resolve()
        with temporary_beside(target) as temporary:
            yield temporary
            temporary.replace(target)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make whatever the system refuses in the block an error that names ``path``, and no temporary one or none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, _reason(error), str(path)) from error


@contextmanager
def scratch_for(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file without a name, on the disk where ``path`` is going to be."""
    folder = None if _is_special(path) else path.resolve().parent
    with tempfile.TemporaryFile(dir=folder) as file:
        yield file


def _check_device(path: Path, parquet: bool) -> None:
    if not os.access(path, os.W_OK):
        raise InputError(f"{path}: no permission to write there")
    if parquet and not _has_positions(path):
        raise InputError(f"{path}: a pipe takes no Parquet file; name a file")


def _has_positions(path: Path) -> bool:
    """Whether a device can be written at any place; a pipe nobody reads cannot even be opened."""
    with suppress(OSError):
        number = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
        try:
            os.lseek(number, 0, os.SEEK_CUR)
        finally:
            os.close(number)
        return True
    return False


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _reason(error: OSError | ValueError) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
