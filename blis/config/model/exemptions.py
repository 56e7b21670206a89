"""Which modules a list of a checkpoint means.

Its entries are names, parts of names, patterns with ``*``, or regular expressions after ``re:``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate

from blis.files.decode import Section

_PREFIXES = (
    "",
    "model.",
    "language_model.model.",
    "model.language_model.",
    "language_model.",
    "backbone.",
    "llm.model.",
    "thinker.model.",
    "model.text_model.",
    "transformer.",
)
#: Where an entry names one layer by its number.
_ONE_LAYER = re.compile(r"layers\.(\d{1,9})(?![^.])")


@dataclass(frozen=True)
class Matcher:
    """Whether a list means a module, which is named from ``layers.`` on.

    Attributes:
        names: runs of whole parts of a module's name, by their first parts.
        starts: beginnings of a module's name.
        pattern: that a module's whole name fulfils; None: there is none.
        by_layer: what entries say that name one layer by its number, by this number.
        counts_layers: whether other entries may tell layers apart.
    """

    names: dict[str, frozenset[str]]
    starts: tuple[str, ...]
    pattern: re.Pattern[str] | None
    by_layer: dict[int, frozenset[str]]
    counts_layers: bool

    def __call__(self, module: str) -> bool:
        """Whether the list means it."""
        if module.startswith(self.starts) or self._has_name(module):
            return True
        pattern = self.pattern
        return pattern is not None and any(pattern.match(prefix + module) for prefix in _PREFIXES)

    def of_layer(self, number: int) -> object:
        """What the list says of one layer by its number: layers of which it says the same are alike to it.

        Patterns without digits can still tell numbers apart by their length.
        """
        return number if self.counts_layers else (len(str(number)), self.by_layer.get(number))

    def _has_name(self, module: str) -> bool:
        parts = module.split(".")
        for i, part in enumerate(parts):
            names = self.names.get(part)
            if names and any(".".join(parts[i:j]) in names for j in range(i + 1, len(parts) + 1)):
                return True
        return False


def matcher(section: Section, key: str, entries: Iterable[str]) -> Matcher:
    """A test for the entries of a list.

    Args:
        section: where the list stands.
        key: the list's.
        entries: of the list.

    Raises:
        ConfigError: an entry is no regular expression.
    """
    names, starts, patterns = defaultdict(set), [], []
    by_layer, counts_layers = defaultdict(set), False
    for entry in entries:
        is_pattern = entry.startswith("re:") or "*" in entry[:-1]
        name = entry if is_pattern else _from_layers(entry.strip("."))
        if is_pattern:
            patterns.append(_pattern(section, key, entry))
        elif name.endswith("*"):
            starts.append(name[:-1])
        else:
            names[name.split(".")[0]].add(name)
        numbered = None if is_pattern else _ONE_LAYER.match(name)
        if numbered is not None:
            by_layer[int(numbered[1])].add(name[numbered.end() :])
        else:
            counts_layers |= any(character.isdigit() for character in name)
    return Matcher(
        names={first: frozenset(each) for first, each in names.items()},
        starts=tuple(starts),
        pattern=re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None,
        by_layer={number: frozenset(each) for number, each in by_layer.items()},
        counts_layers=counts_layers,
    )


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
