"""Keeping a secret out of what is written down, however a server writes it back."""

from __future__ import annotations

import base64
import re
from html import escape

_MASK = "[API key]"
#: Fewer characters of base64 would be found everywhere.
_LEAST_BASE64 = 8


class Secret:
    """Finds a key in texts: as it is, and as JSON, URLs, HTML, hexadecimal digits and base64 write it.

    Args:
        key: the secret; "": there is none.
    """

    def __init__(self, key: str) -> None:
        data = key.encode(errors="surrogateescape")
        ways = ["".join(map(_written, key)), f"(?i:{data.hex()})", *map(re.escape, _in_base64(data))]
        self._pattern = re.compile("|".join(ways)) if key else None

    def masked(self, text: str) -> str:
        """The text with ``[API key]`` in its place."""
        return text if self._pattern is None else self._pattern.sub(_MASK, text)


def _written(character: str) -> str:
    """A pattern of all ways to write a character."""
    data = character.encode(errors="surrogateescape")
    units = character.encode("utf-16-be", errors="surrogatepass").hex()
    in_json = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    in_url = "".join(f"%(?:25)*{byte:02x}" for byte in data)
    number = ord(character)
    in_html = f"&#(?:0*{number}|x0*{number:x});"
    plain = re.escape(character)
    return rf"(?:\\*{plain}|{re.escape(escape(character))}|(?i:{in_json}|{in_url}|{in_html}))"


def _in_base64(data: bytes) -> set[str]:
    """The characters of base64 that stand for the bytes alone, behind any number of others."""
    found = set()
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + data).decode()
        first, last = -(-offset * 8 // 6), (offset + len(data)) * 8 // 6
        middle = text[first:last]
        if len(middle) >= _LEAST_BASE64:
            found |= {middle, middle.replace("+", "-").replace("/", "_")}
    return found
