"""``NaN`` and ``Infinity``, which Python writes into JSON and strict parsers refuse."""

from __future__ import annotations

import re
from typing import BinaryIO

#: Python writes these for floats that are no numbers in JSON.
_NO_NUMBER = re.compile(rb"(?<=[\s:,\[])-?(?:NaN|Infinity)(?=[\s,\]}])")
#: What may be the beginning of one, with what must stand before it.
_BEGUN = re.compile(rb"[\s:,\[]-?[A-Za-z]{0,8}\Z")
_LONGEST = 10


class WithoutNaN:
    """A JSON file in which null stands in place of what is no number, even within texts that look like it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._rest = file, b""

    def read(self, size: int = -1) -> bytes:
        """Read about so many bytes."""
        while size:  # ijson asks for nothing to see whether it gets bytes
            more = self._file.read(size)
            data, self._rest = self._rest + more, b""
            if b"NaN" in data or b"Infinity" in data:  # far quicker than to look for the pattern
                data = _NO_NUMBER.sub(b"null", data)
            if more and (begun := _BEGUN.search(data, max(0, len(data) - _LONGEST))):
                data, self._rest = data[: begun.start()], data[begun.start() :]
            if data or not more:
                return data
        return b""
