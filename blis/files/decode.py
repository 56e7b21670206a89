"""Strict reading of YAML and JSON: every value is checked, every error names the file and the key path.

A `Section` is one mapping of a file. Its reading methods check type and range and tick the key off; `finish`
refuses keys nobody asked for. An error reads ``FILE: path.to.key: must be …, got …``.
"""

from __future__ import annotations

import datetime
import json
import math
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from blis.errors import ConfigError, nearest
from blis.files.strict_yaml import parse_yaml

Value = TypeVar("Value")

#: The largest whole number that columns and clocks hold.
_MOST_WHOLE = 2**63 - 1


class Section:
    """One mapping of a configuration file, read key by key.

    A key whose value is ``null`` counts as absent.

    Args:
        values: the mapping; keys that are numbers are known by their text.
        source: the file's name, for messages.
        path: the keys that lead to this mapping, joined by dots.
    """

    def __init__(self, values: Mapping[Any, Any], source: str, path: str = "") -> None:
        self._values = {str(key): value for key, value in values.items()}
        self._read: set[str] = set()
        self.source = source
        self.path = path

    def fail(self, key: str, problem: str) -> NoReturn:
        """Raise a `ConfigError` about one key."""
        raise ConfigError(f"{self.source}: {self._path_to(key)}: {problem}")

    def optional(self, read: Callable[..., Value], key: str, **limits: Any) -> Value | None:
        """What a reading method of this section gives for a key; None if the key is absent."""
        if self.has(key):
            return read(key, **limits)
        self._read.add(key)
        return None

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self._values.get(key) is not None

    def holds_list(self, key: str) -> bool:
        """Whether the key is there with a list."""
        return isinstance(self._values.get(key), list)

    def holds_mapping(self, key: str) -> bool:
        """Whether the key is there with a mapping."""
        return isinstance(self._values.get(key), Mapping)

    def names(self) -> list[str]:
        """All keys, as text, in the file's order."""
        return list(self._values)

    def require(self, keys: Iterable[str]) -> None:
        """Refuse the section if keys are missing, naming all of them.

        Raises:
            ConfigError: naming the missing keys and those that are there.
        """
        missing = [key for key in keys if not self.has(key)]
        if missing:
            where = f"{self.source}: {self.path}" if self.path else self.source
            raise ConfigError(f"{where}: missing {', '.join(missing)}; found {', '.join(self.names()) or 'nothing'}")

    def finish(self) -> None:
        """Refuse keys that were never read.

        Raises:
            ConfigError: naming the first such key and the valid one that comes nearest.
        """
        for key in self.names():
            if key not in self._read:
                self.fail(key, f"unknown key; {nearest(key, self._read)}")

    def number(self, key: str, default: float | None = None, *, least: float = 0.0, most: float = math.inf) -> float:
        """Read a finite number in [least, most]; ``default`` if absent (None: the key must be there)."""
        if default is not None and not self.has(key):
            self._read.add(key)
            return default
        return self._check_number(key, self._get(key), least, most)

    def integer(self, key: str, default: int | None = None, *, least: int = 0) -> int:
        """Read a whole number in [least, 2^63); ``default`` if absent (None: the key must be there)."""
        if default is not None and not self.has(key):
            self._read.add(key)
            return default
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST_WHOLE:
            is_large = isinstance(value, int) and value > _MOST_WHOLE
            bounds = f"from {least} to {_MOST_WHOLE}" if is_large else f">= {least}"
            self.fail(key, f"must be a whole number {bounds}, got {shown(value)}")
        return value

    def text(self, key: str, default: str | None = None, *, valid: Iterable[str] | None = None) -> str:
        """Read a text, perhaps one of ``valid``; ``default`` if absent (None: the key must be there)."""
        if default is not None and not self.has(key):
            self._read.add(key)
            return default
        value = self._get(key)
        if not isinstance(value, str):
            self.fail(key, f"must be text (in quotes, if it looks like a number), got {shown(value)}")
        self._check_text(key, value)
        if valid is not None and value not in (names := tuple(valid)):
            self.fail(key, f"unknown value {shown(value)}; {nearest(value, names)}")
        return value

    def moment(self, key: str) -> str:
        """Read a point in time as text; unquoted, YAML takes it for a date."""
        value = self._get(key)
        if isinstance(value, datetime.date):
            return value.isoformat()
        return self.text(key)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Read true or false; ``default`` if absent (None: the key must be there)."""
        if default is not None and not self.has(key):
            self._read.add(key)
            return default
        value = self._get(key)
        if not isinstance(value, bool):
            self.fail(key, f"must be true or false, got {shown(value)}")
        return value

    def numbers(self, key: str, *, least_count: int, most_count: int) -> tuple[float, ...]:
        """Read a list of finite numbers >= 0."""
        values = self._list(key)
        if not least_count <= len(values) <= most_count:
            counts = f"{least_count}" if least_count == most_count else f"{least_count} to {most_count}"
            self.fail(key, f"must be {counts} numbers, got {len(values)}")
        return tuple(self._check_number(f"{key}[{i}]", value, 0.0, math.inf) for i, value in enumerate(values))

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of texts; empty if absent."""
        if not self.has(key):
            self._read.add(key)
            return ()
        values = self._list(key)
        for i, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f"{key}[{i}]", f"must be text, got {shown(value)}")
            self._check_text(f"{key}[{i}]", value)
        return tuple(values)

    def section(self, key: str) -> Section:
        """Read a mapping."""
        return self._as_section(key, self._get(key))

    def sections(self, key: str) -> list[Section]:
        """Read a list of mappings."""
        return [self._as_section(f"{key}[{i}]", value) for i, value in enumerate(self._list(key))]

    def entries(self, key: str) -> list[tuple[Section, str]]:
        """Read a list of anything: for each value a section that holds nothing else, and the value's key there."""
        names = [(f"{key}[{i}]", value) for i, value in enumerate(self._list(key))]
        if not names:
            self.fail(key, "must hold one value at least, got none")
        return [(Section({name: value}, self.source, self.path), name) for name, value in names]

    def plain(self) -> dict[str, Any]:
        """All that is there, as it was read."""
        return dict(self._values)

    def _as_section(self, key: str, value: Any) -> Section:
        if not isinstance(value, Mapping):
            self.fail(key, f"must be a mapping, got {shown(value)}")
        return Section(value, self.source, self._path_to(key))

    def _list(self, key: str) -> list[Any]:
        value = self._get(key)
        if not isinstance(value, list):
            self.fail(key, f"must be a list, got {shown(value)}")
        return value

    def _get(self, key: str) -> Any:
        self._read.add(key)
        if not self.has(key):
            self.fail(key, "missing")
        return self._values[key]

    def _check_number(self, key: str, value: Any, least: float, most: float) -> float:
        number = _as_float(value)
        if not math.isfinite(number) or not least <= number <= most:
            bounds = f">= {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            self.fail(key, f"must be a number {bounds}, got {shown(value)}")
        return number

    def _check_text(self, key: str, value: str) -> None:
        """Refuse halves of characters, which no file and no terminal takes, and the zero byte, which no path has."""
        halves = not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)
        if halves or "\0" in value:
            self.fail(key, f"must be text that can be written, got {shown(value)}")

    def _path_to(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def shown(value: Any) -> str:
    """A value as messages show it: shortened, and without what a terminal would obey."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes no longer ones
        return "a number of thousands of digits"


def _as_float(value: Any) -> float:
    """A number as it is calculated with; NaN for what is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def read_json(path: Path) -> Section:
    """Read a JSON file that holds one object.

    Raises:
        ConfigError: if it cannot be read, is no JSON, holds no object or repeats a key.
    """

    def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ConfigError(f"{path}: key given twice: {Counter(key for key, _ in pairs).most_common(1)[0][0]}")
        return result

    try:
        return _top_section(json.loads(_text(path), object_pairs_hook=no_repeats), path)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: no valid JSON: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"{path}: no valid JSON: nested too deeply") from None
    except ValueError as error:  # thousands of digits
        raise ConfigError(f"{path}: no valid JSON: {error}") from None


def read_yaml(path: Path) -> Section:
    """Read a YAML file that holds one mapping.

    Raises:
        ConfigError: if it cannot be read, is no YAML, holds no mapping or repeats a key.
    """
    import yaml

    text = _text(path)
    try:
        return _top_section(parse_yaml(text), path)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{path}{line}: no valid YAML: {problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no valid YAML: {' '.join(str(error).split())}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read: not UTF-8 text") from None
    except ValueError:  # of a name that a file has given
        raise ConfigError(f"{shown(str(path))}: cannot be read: no file has such a name") from None


def _top_section(values: Any, path: Path) -> Section:
    if not isinstance(values, Mapping):
        found = "nothing" if values is None else type(values).__name__
        raise ConfigError(f"{path}: must hold one mapping, got {found}")
    return Section(values, str(path))
