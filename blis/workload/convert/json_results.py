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
    import ijson

    pick = source.options.pick
    count = current = 0 if root is not None else 1
    wanted, cut = pick or 1, len(root) + 1 if root else 0
    with source.open() as file:
        try:
            for prefix, event, value in ijson.parse(WithoutNaN(file), use_float=True, multiple_values=True):
                if prefix != root:
                    if current == wanted:
                        yield prefix[cut:], event, value
                elif event == "start_map":
                    count = current = count + 1
                elif event == "end_map":
                    current = 0  # what follows belongs to none
                elif event == "start_array":  # a list of results
                    root, cut = "item", len("item.")
        except ijson.JSONError as error:
            raise source.error(f"is no JSON: {' '.join(str(error).split())[:200]}") from None
    if pick is None and count > 1:
        raise source.error(f"holds {count} results; --pick 1 to --pick {count} says which one is read")
    if pick is not None and pick > count:
        raise source.error(f"--pick {pick}: holds {count} result{'s' * (count != 1)}")
