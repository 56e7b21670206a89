"""What answers have in common: each has a page, of which it knows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


class Answer:
    """Base class of what has a page. That is drawn by ``page_of`` in the module ``page`` beside the class's own."""

    def write_report(self, path: str | Path, command: Sequence[str] = (), **details: Any) -> None:
        """Write a page of figures and charts, one HTML file with everything inside (docs/report.md).

        Args:
            path: of the file.
            command: arguments of ``blis`` that make the same; empty: not known.
            details: what else the page of this kind of answer shows.

        Raises:
            InputError: the extra ``plots`` is not installed.
        """
        from blis.report.page import write_page

        beside = type(self).__module__.rpartition(".")[0]
        write_page(import_module(f"{beside}.page").page_of(self, command, **details), Path(path))
