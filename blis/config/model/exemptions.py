"""Which modules a list of a checkpoint means.

Its entries are names, parts of names, patterns with ``*``, or regular expressions after ``re:``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import cache

from blis.files.decode import Section

#: Whether a list means a module, which is named from ``layers.`` on.
Matcher = Callable[[str], bool]

_PREFIXES = (
    "",
    "model.",
    "language_model.model.",
    "model.language_model.",
    "language_model.",
    "backbone.",
    "llm.model.",
)


def matcher(section: Section, key: str, entries: Iterable[str]) -> Matcher:
    """A test for the entries of a list.

    Args:
        section: where the list stands.
        key: the list's.
        entries: of the list.

    Raises:
        ConfigError: an entry is no regular expression.
    """
    plain, beginnings, patterns = [], [], []
    for entry in entries:
        if entry.startswith("re:") or "*" in entry[:-1]:
            patterns.append(_pattern(section, key, entry))
        elif entry.endswith("*"):
            beginnings.append(_from_layers(entry[:-1]))
        else:
            plain.append(_from_layers(entry.strip(".")))
    names, starts = frozenset(plain), tuple(beginnings)
    joined = re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None

    def means(module: str) -> bool:
        if (names and not _runs(module).isdisjoint(names)) or module.startswith(starts):
            return True
        return joined is not None and any(joined.match(prefix + module) for prefix in _PREFIXES)

    return means


def _pattern(section: Section, key: str, entry: str) -> str:
    if not entry.startswith("re:"):
        return translate(entry) + "|" + translate(entry + ".*")
    pattern = entry.removeprefix("re:")
    try:
        re.compile(pattern)
    except re.error as error:
        section.fail(key, f"no valid regular expression {entry!r}: {error}")
    return pattern


def _from_layers(entry: str) -> str:
    """Drop what stands before ``layers.``, unless it leads to another part of the model than the language model."""
    before, found, after = entry.rpartition("layers.")
    return found + after if before in _PREFIXES else entry


@cache
def _runs(module: str) -> frozenset[str]:
    """All runs of whole parts of a dotted name."""
    parts = module.split(".")
    return frozenset(".".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1))
