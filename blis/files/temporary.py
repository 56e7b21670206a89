"""Temporary files beside those that they become.

Whoever makes one holds a lock on it, and the system lets go of the lock however its process ends: what is not locked is
left of a process that was killed, and removed.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl

    _HAS_LOCKS = True
except ImportError:  # not Unix: what killed processes leave stays
    _HAS_LOCKS = False

#: Bytes of the target's name in that of a temporary file, which has 255 in all.
_MOST_NAME = 200
_TOKEN_BYTES = 8


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Yield a new empty file in the folder of ``target``; it is gone afterwards unless it has been moved.

    What processes that were killed have left of the same target goes, too.

    Raises:
        OSError: there is no making one.
    """
    _remove_stale(target)
    path, lock = _new_name(target), None
    try:  # what a signal interrupts is undone, too
        while (lock := _locked(path)) is None:
            path = _new_name(target)
        yield path
    finally:
        path.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _new_name(target: Path) -> Path:
    return target.with_name(f"{_begin(target)}{secrets.token_hex(_TOKEN_BYTES)}.tmp")


def _locked(path: Path) -> int | None:
    """Make a file, and hold it open with its lock; None: it was taken for stale before it had one."""
    number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    if _is_locked(number):
        return number
    os.close(number)
    return None


def _is_locked(number: int) -> bool:
    """Lock a new file; false: somebody is removing it, or has done so."""
    if _HAS_LOCKS:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # some file systems have no locks; nothing is stale there
            return True
    return os.fstat(number).st_nlink > 0


def _remove_stale(target: Path) -> None:
    if not _HAS_LOCKS:
        return
    name = re.compile(re.escape(_begin(target)) + rf"[0-9a-f]{{{2 * _TOKEN_BYTES}}}\.tmp")
    with suppress(OSError):  # of a folder that takes files, but does not say which
        for path in target.parent.iterdir():
            if name.fullmatch(path.name):
                _remove_unless_locked(path)


def _remove_unless_locked(path: Path) -> None:
    with suppress(OSError), path.open("rb+") as file:  # locked, gone, or somebody else's
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _begin(target: Path) -> str:
    return f".{target.name.encode(errors='surrogateescape')[:_MOST_NAME].decode(errors='ignore')}."
