"""Outcomes in a word: two runs with the same digest did the same to every request."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from blis.outcomes.outcomes import Outcomes


def outcomes_digest(outcomes: Outcomes) -> str:
    """SHA-256 of everything that happened to the requests and in the instances, in hexadecimal digits.

    It covers names, numbers and times to the microsecond, and neither the file's format nor versions of anything.
    """
    hashed = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                add(f"{name}.{field.name}", getattr(value, field.name))
        else:
            data = np.asarray(value, "<i8").tobytes()
            hashed.update(f"{name} {len(data)} ".encode() + data)

    table = outcomes.table
    add("requests", outcomes.result)
    for name in ("numbers", "input_tokens", "output_tokens"):
        add(name, getattr(table, name))
    add("client_cost_us", outcomes.client_cost_us)
    add("unlisted", table.unlisted)
    return hashed.hexdigest()
