"""Built-in policies and scorers: what they do, and what they go by."""

from __future__ import annotations

import dataclasses
from typing import Any

from blis.config.explained import EXPLAINED
from blis.errors import ConfigError, nearest


def policies() -> list[dict[str, Any]]:
    """One entry per policy: kind, name, what it does, names of its parameters."""
    return [dataclasses.asdict(each) for each in EXPLAINED]


def policies_named(name: str) -> list[dict[str, Any]]:
    """The entries of one name (a policy and a scorer may share it), or of one kind.

    Raises:
        ConfigError: there is none; says which come close.
    """
    found = [entry for entry in policies() if name.strip().lower() in (entry["name"], entry["kind"])]
    if not found:
        names = {entry[key] for entry in policies() for key in ("name", "kind")}
        raise ConfigError(f"unknown policy {name!r}; {nearest(name, names)}")
    return found
