"""What is decided for users, or worth knowing about a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Note:
    """Something that was decided for the user, or that they should know about the result."""

    level: Literal["info", "warning"]
    text: str
