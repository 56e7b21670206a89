"""A file that is being read: pieces of whole lines, rows as they come, and rows that make no sense."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from blis.errors import WorkloadError
from blis.files.plain import PlainFile, open_plain
from blis.workload.convert.options import ReadOptions
from blis.workload.requests import Ints

MOST_LENGTH = 2**31 - 1

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Rows:
    """Some requests, in the order in which they stand in the file.

    Attributes:
        arrival_us: (n,) on the file's own clock, may be negative; None: the file does not say.
        input_tokens: (n,) prompt lengths, >= 0.
        output_tokens: (n,) output lengths, >= 0.
        columns: further columns of the trace that is made of them, as Arrow arrays of n values.
    """

    arrival_us: Ints | None
    input_tokens: Ints
    output_tokens: Ints
    columns: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.input_tokens)

    def filter(self, keep: NDArray[np.bool_]) -> Rows:
        """Those rows for which ``keep`` (n,) holds."""
        import pyarrow as pa

        if keep.all():
            return self
        mask = pa.array(keep)
        return Rows(
            None if self.arrival_us is None else self.arrival_us[keep],
            self.input_tokens[keep],
            self.output_tokens[keep],
            {name: column.filter(mask) for name, column in self.columns.items()},
        )


@dataclass
class Source:
    """What a reader of a format is given, and where it reports.

    Attributes:
        path: the file.
        options: what the file does not say itself.
        progress: called with the number of bytes read so far.
        num_bad: rows skipped because they make no sense.
        num_failed: requests left out because the file says that they failed.
        num_unanswered: conversations left out because nobody answers.
        assumed: what was taken for granted about the file, and why.
        doubts: what speaks against something that was taken for granted, or asked for.
    """

    path: Path
    options: ReadOptions = field(default_factory=ReadOptions)
    progress: Callable[[int], None] | None = None
    num_bad: int = 0
    num_failed: int = 0
    num_unanswered: int = 0
    assumed: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Forget what an earlier reading has noted."""
        self.num_bad = self.num_failed = self.num_unanswered = 0
        self.assumed, self.doubts = [], []

    def assume(self, what: str) -> None:
        """Note something that is taken for granted, once."""
        if what not in self.assumed:
            self.assumed.append(what)

    def doubt(self, what: str) -> None:
        """Note something that makes what is taken for granted doubtful, once."""
        if what not in self.doubts:
            self.doubts.append(what)

    def bad_row(self, place: str, problem: str) -> None:
        """Report a row that makes no sense.

        Raises:
            WorkloadError: such rows are not to be skipped.
        """
        if self.options.on_bad_row == "fail":
            raise self.error(f"{place}: {problem}")
        self.num_bad += 1

    def error(self, problem: str) -> WorkloadError:
        """An error that says where."""
        return WorkloadError(f"{self.path}: {problem}")

    def option(self, name: str, value: str = "") -> str:
        """How people write an option: here as a flag."""
        return f"--{name} {value}".rstrip()

    def at(self, num_bytes: int) -> None:
        """Report how far the reading is."""
        if self.progress is not None:
            self.progress(num_bytes)

    def open(self) -> PlainFile:
        """The file as plain bytes, whatever it is packed in; each read reports how far the reading is.

        Raises:
            InputError: it is of a kind that cannot be read, or damaged.
        """
        return open_plain(self.path, self.progress)

    def open_seekable(self) -> BinaryIO:
        """The same for formats that are not read from front to back: of a packed file all is held in memory."""
        file = self.open()
        if not file.is_packed:
            file.close()
            return self.path.open("rb")
        with file:
            return io.BytesIO(file.read())


def line_blocks(file: BinaryIO, first_line: int) -> Iterator[tuple[int, bytes]]:
    """Cut the rest of a file into pieces of whole lines.

    Yields:
        The number of a piece's first line, and its bytes; the last piece may lack its last line's end.
    """
    line, rest = first_line, b""
    while block := file.read(_BLOCK_BYTES):
        rest += block
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield line, rest[:cut]
            line += rest.count(b"\n", 0, cut)
            rest = rest[cut:]
    if rest:
        yield line, rest
