"""Results as JSON: one document, which every reader of JSON takes and a terminal only shows."""

from __future__ import annotations

import json
import math
from typing import Any

from blis.files.printable import printable_json


def json_document(values: Any, *, ascii_only: bool = False) -> str:
    """Plain JSON values as indented text without a last line end; numbers that JSON lacks (NaN, infinities) are null.

    Args:
        values: mappings, sequences, texts, numbers, booleans, None.
        ascii_only: escape all other characters, too.
    """
    return printable_json(json.dumps(_known(values), indent=2, ensure_ascii=ascii_only, allow_nan=False))


def _known(values: Any) -> Any:
    """The same with None for numbers that are none."""
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, dict):
        return {key: _known(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_known(value) for value in values]
    return values
