"""The section of a page that says what was asked for, and by which command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from blis.report.page import Part, Section, Settings, Text


def configuration(
    values: Mapping[str, Any],
    command: Sequence[str] = (),
    lead: str = "The same, and this page, from the folder where it was started:",
    title: str = "As resolved; what is not set is left out",
) -> Section:
    """Put the section together.

    Args:
        values: nested plain values.
        command: arguments of ``blis`` that make the same page; empty: not known.
        lead: stands above the command.
        title: stands above the values.
    """
    parts: list[Part] = [Text(lead), *command_lines(command)] if command else []
    return Section("Configuration", [*parts, Settings(title, list(_paths(values)))])


def command_lines(command: Sequence[str]) -> list[Text]:
    """The command as people paste it; nothing if it is not known."""
    return [Text(shlex.join(("blis", *command)), code=True)] if command else []


def _paths(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Paths of keys, and their values."""
    for key, value in values.items():
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from _paths(value, where)
        elif isinstance(value, (list, tuple)) and value and all(isinstance(each, Mapping) for each in value):
            for place, each in enumerate(value):
                yield from _paths(each, f"{where}[{place}]")
        elif value not in (None, "", [], (), {}):
            yield where, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
