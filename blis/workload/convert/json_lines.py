"""JSON, one object per line, and values of JSON that must be numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from blis.workload.convert.json_nan import WithoutNaN
from blis.workload.convert.source import Source, line_blocks


def json_lines(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the objects of a file; empty lines are skipped.

    Yields:
        ``line 17`` and the object on it.
    """
    with source.open() as file:
        for first, block in line_blocks(file, 1):
            for number, text in enumerate(block.split(b"\n"), first):
                if text.strip():
                    record = _parse(source, f"line {number}", text)
                    if record is not None:
                        yield f"line {number}", record


def json_records(source: Source, what: str, *, are_texts: bool = False) -> Iterator[tuple[str, Any]]:
    """Read the records of a JSON list or of JSON lines, and where each stands.

    Args:
        source: the file.
        what: they are called in messages.
        are_texts: whether texts matter, in which "NaN" is a word; else it is a number that is none.

    Raises:
        WorkloadError: the file is no JSON.
    """
    import ijson

    with source.open() as file:
        is_list = file.peek().lstrip().startswith(b"[")
        if is_list:
            cleaned = file if are_texts else WithoutNaN(file)
            try:
                for position, record in enumerate(ijson.items(cleaned, "item", use_float=True)):
                    yield f"{what} {position}", record
            except ijson.JSONError as error:
                raise source.error(f"is no JSON: {' '.join(str(error).split())[:200]}") from None
    if not is_list:
        yield from json_lines(source)


def _parse(source: Source, place: str, text: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(text.decode("utf-8-sig"))
    except RecursionError:
        source.bad_row(place, "is no JSON: nested too deeply")
        return None
    except ValueError as error:
        if text.strip() == b"{":
            problem = "begins an object of several lines; JSON lines or a list of objects are read"
            raise source.error(f"{place}: {problem}") from None
        source.bad_row(place, f"is no JSON: {str(error).replace('line 1 column', 'column')}")
        return None
    if not isinstance(record, dict):
        source.bad_row(place, f"expected a JSON object, got {text[:40].decode(errors='replace')!r}")
        return None
    return record


def whole(value: object, least: int, most: int) -> bool:
    """Whether a value is an integer within bounds (``true`` is none)."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


#: Whole numbers from here on are none to floats, not even multiplied by what makes seconds µs.
_TOO_LARGE = 1e300


def number(value: object) -> bool:
    """Whether a value is a finite number that can be calculated with (``true`` is none)."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < _TOO_LARGE
