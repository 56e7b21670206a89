"""What there is under a name, for names that come from anywhere: one that no file can have is that of none."""

from __future__ import annotations

import stat
from pathlib import Path


def exists(path: Path) -> bool:
    """Whether there is anything."""
    return _kind(path) != 0


def is_file(path: Path) -> bool:
    """Whether there is a regular file."""
    return _kind(path) == stat.S_IFREG


def is_folder(path: Path) -> bool:
    """Whether there is a folder."""
    return _kind(path) == stat.S_IFDIR


def _kind(path: Path) -> int:
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError):  # `Path.exists` lets those of names that are too long through
        return 0
