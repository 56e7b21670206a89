"""Results of benchmarks in JSON: one of several in a file, read event by event, ``NaN`` and ``Infinity`` as null."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from blis.workload.convert.source import Source

#: An event's place within its result, its kind and its value, as ijson gives them.
Event = tuple[str, str, Any]

#: Python writes these for floats that are no numbers in JSON.
_NO_NUMBER = re.compile(rb"(?<=[\s:,\[])-?(?:NaN|Infinity)(?=[\s,\]}])")
#: What may be the beginning of one, with what must stand before it.
_BEGUN = re.compile(rb"[\s:,\[]-?[A-Za-z]{0,8}\Z")
_LONGEST = 10


class _WithoutNaN:
    """A JSON file in which null stands in place of what is no number."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._rest = file, b""

    def read(self, size: int = -1) -> bytes:
        while size:  # ijson asks for nothing to see whether it gets bytes
            more = self._file.read(size)
            data, self._rest = _NO_NUMBER.sub(b"null", self._rest + more), b""
            if more and (begun := _BEGUN.search(data, max(0, len(data) - _LONGEST))):
                data, self._rest = data[: begun.start()], data[begun.start() :]
            if data or not more:
                return data
        return b""


def picked_events(source: Source, root: str | None = "") -> Iterator[Event]:
    """Read one result of a file: the only one, or the one that the options pick.

    Args:
        source: the file.
        root: where results stand in it; empty: one after the other, or in a list; None: the file is one.

    Raises:
        WorkloadError: the file is no JSON, holds several results and none is picked, or has none of that number.
    """
    pick, count = source.options.pick, 0
    for number, event in _numbered(source, root):
        count = number
        if number == (pick or 1):
            yield event
    if pick is None and count > 1:
        raise source.error(f"holds {count} results; --pick 1 to --pick {count} says which one is read")
    if pick is not None and pick > count:
        raise source.error(f"--pick {pick}: holds {count} result{'s' * (count != 1)}")


def _numbered(source: Source, root: str | None) -> Iterator[tuple[int, Event]]:
    """All events within results, and the number of the result, from 1."""
    import ijson

    number, inside = 0, False
    with source.open() as file:
        try:
            for prefix, event, value in ijson.parse(_WithoutNaN(file), use_float=True, multiple_values=True):
                if root is None:
                    yield 1, (prefix, event, value)
                elif not root and prefix == "" and event == "start_array":
                    root = "item"
                elif prefix == root and event == "start_map":
                    number, inside = number + 1, True
                elif prefix == root and event == "end_map":
                    inside = False
                elif inside and event != "map_key":
                    yield number, (prefix[len(root) + 1 :] if root else prefix, event, value)
        except ijson.JSONError as error:
            raise source.error(f"is no JSON: {' '.join(str(error).split())[:200]}") from None
