"""Objects in one line, for whoever looks at one in a notebook, a debugger or an error."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

from blis.files.printable import printable

#: Longer texts are cut.
_MOST_TEXT, _MOST_VALUE = 300, 80


class Brief:
    """Base class of dataclasses that show those of their fields that are not left to their defaults."""

    def __repr__(self) -> str:
        said = [field for field in fields(self) if not _is_default(field, getattr(self, field.name))]  # type: ignore[arg-type]
        values = ", ".join(f"{field.name}={_value(getattr(self, field.name))}" for field in said)
        return f"{type(self).__name__}({values})"


def summed_up(thing: object, text: str) -> str:
    """What something is and what there is to say of it, in one line that a terminal shows and does not obey."""
    kind = type(thing).__name__
    return f"<{kind}: {_cut(text, _MOST_TEXT).removeprefix(f'{kind}: ')}>"


def counted(count: int, what: str) -> str:
    """So many of something."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _is_default(field: Field[Any], value: Any) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return type(value) is type(default) and bool(value == default)


def _value(value: Any) -> str:
    if hasattr(value, "__arrow_c_stream__"):
        return f"<{type(value).__name__} {getattr(value, 'shape', '')}>"
    return _cut(value.__name__ if callable(value) and hasattr(value, "__name__") else repr(value), _MOST_VALUE)


def _cut(text: str, most: int) -> str:
    text = printable(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"
