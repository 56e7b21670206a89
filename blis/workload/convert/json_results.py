"""Results of benchmarks in JSON: one of several in a file, read event by event, ``NaN`` and ``Infinity`` as null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from blis.workload.convert.json_nan import WithoutNaN
from blis.workload.convert.source import Source

#: An event's place within its result, its kind and its value, as ijson gives them.
Event = tuple[str, str, Any]


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
            for prefix, event, value in ijson.parse(WithoutNaN(file), use_float=True, multiple_values=True):
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
