"""Rows on disk as runs finish: what a sweep that was killed goes on from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from blis.errors import InputError
from blis.files.output import naming, replacing
from blis.studies.sweep.work import Row

_WHAT = {"blis_version": "the version of blis", "sweep": "the sweep file", "inputs": "a file that it names"}


class Journal:
    """A folder beside the output, ``OUTPUT.partial``: what the sweep is, and a line of JSON per finished run.

    A line that was not written to its end is as if it were not there.

    Args:
        output: the table that is going to be written.
        identity: version, sweep and digests of inputs, as plain JSON. Rows of another sweep are refused.
        restart: forget rows that are there.

    Raises:
        InputError: there are rows of another sweep, or they can't be read.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any], *, restart: bool = False) -> None:
        self.folder = journal_folder(output)
        self._rows = self.folder / "rows.jsonl"
        self._offsets: dict[int, int] = {}
        self.failures: list[str] = []
        if restart and self.folder.exists():
            shutil.rmtree(self.folder)
        head = self.folder / "sweep.json"
        if head.exists():
            self._check(head, identity)
        else:
            self.folder.mkdir(exist_ok=True)
            self._rows.unlink(missing_ok=True)
            with replacing(head) as temporary:
                temporary.write_text(json.dumps(identity), encoding="utf-8")
        self._file = self._rows.open("a+b")
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, run: int) -> bool:
        return run in self._offsets

    def add(self, row: Row) -> None:
        """Write a row; it is on its way to the disk when this returns."""
        with naming(self._rows):
            offset = self._file.seek(0, 2)
            self._file.write(json.dumps(row).encode() + b"\n")
            self._file.flush()
        self._note(row, offset)

    def rows(self) -> Iterator[Row]:
        """All rows, by number of their run."""
        for run in sorted(self._offsets):
            self._file.seek(self._offsets[run])
            yield Row(*json.loads(self._file.readline()))

    def remove(self) -> None:
        """Close and delete it: the table is written."""
        self._file.close()
        shutil.rmtree(self.folder)

    def _check(self, head: Path, identity: Mapping[str, Any]) -> None:
        try:
            found = json.loads(head.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{head}: can't be read: {error}; --restart begins anew") from None
        changed = [what for name, what in _WHAT.items() if found.get(name) != identity[name]]
        if changed:
            raise InputError(
                f"{self.folder}: holds rows of another sweep ({' and '.join(changed)} changed); --restart discards them"
            )

    def _read(self) -> None:
        """Note where rows are; cut off one that is not whole."""
        self._file.seek(0)
        offset = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                self._note(Row(*json.loads(line)), offset)
            except (ValueError, TypeError):
                raise InputError(f"{self._rows}: line {number}: no row of a sweep; --restart begins anew") from None
            offset += len(line)
        self._file.truncate(offset)

    def _note(self, row: Row, offset: int) -> None:
        self._offsets[row.run] = offset
        if row.error is not None:
            self.failures.append(row.error)


def journal_folder(output: Path) -> Path:
    """Where the rows of a sweep are until all are there."""
    return output.with_name(output.name + ".partial")
