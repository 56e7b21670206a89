"""Text that a terminal shows and does not obey, whoever wrote it."""

from __future__ import annotations

import re

#: Control characters but for tab and line end, what reorders or breaks lines unseen, and halves of characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with ``�`` for each character that a terminal might obey or cannot show."""
    return _UNPRINTABLE.sub("\ufffd", text)


def printable_json(text: str) -> str:
    """A JSON text with the same values, in which such characters, which only its texts hold, are escaped."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
