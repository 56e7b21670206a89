"""What answers have in common: each is told in a line, in a notebook and on a page, of which it knows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any


class Shown:
    """Base class of what is told in words, by ``headlines`` and ``text`` in the module ``report`` beside its own."""

    def __repr__(self) -> str:
        from blis.files.shown import summed_up

        return summed_up(self, "; ".join(islice(self._beside("report").headlines(self), 2)))

    def _repr_html_(self) -> str:
        """The answer and its tables, for notebooks."""
        from blis.report.notebook import parts_html

        return parts_html(self._beside("report").text(self))

    def _beside(self, name: str) -> Any:
        return import_module(f"{type(self).__module__.rpartition('.')[0]}.{name}")


class Answer(Shown):
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

        write_page(self._beside("page").page_of(self, command, **details), Path(path))
