"""Files read as the bytes of UTF-8 text or whatever else is in them, if they are packed or in UTF-16, too."""

from __future__ import annotations

import codecs
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from blis.errors import InputError

#: How packed files begin.
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
#: How files begin in which nobody looks for text.
_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Excel sheet",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"SQLite format 3\x00": "a SQLite database",
    b"ARROW1\x00\x00": "an Arrow (Feather) file",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"%PDF": "a PDF",
}
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
Progress = Callable[[int], None]

_HEAD_BYTES, _BUFFER_BYTES = 1 << 10, 1 << 18
_TAR_MAGIC = slice(257, 262)


class PlainFile(io.BufferedReader):
    """A file whose content is read; to close it closes all that is below.

    Attributes:
        is_packed: whether the bytes of the file are others than those that are read.
    """

    def __init__(self, content: io.RawIOBase, packed: io.BufferedReader, *, is_packed: bool) -> None:
        super().__init__(content, _BUFFER_BYTES)
        self._packed = packed
        self.is_packed = is_packed

    def close(self) -> None:
        """Close the file, too."""
        try:
            super().close()
        finally:
            self._packed.close()


def open_plain(path: Path, progress: Progress | None = None) -> PlainFile:
    """Open a file that may be packed (gzip, zstd, bzip2, xz, lz4; told by its first bytes) and may be in UTF-16 or -32.

    Args:
        path: the file.
        progress: called with the number of bytes of the file itself that were read so far.

    Raises:
        InputError: it is something that cannot be read like that, such as a ZIP archive, or damaged (while it is read).
        OSError: there is no reading it.
    """
    packed = path.open("rb")
    try:
        kind = packing(packed.peek(_HEAD_BYTES))
        content = PlainFile(_Content(path, packed, kind, progress), packed, is_packed=kind is not None)
        head = content.peek(_HEAD_BYTES)
        _refuse_foreign(path, head, kind)
        if head.startswith(codecs.BOM_UTF8):
            content.read(len(codecs.BOM_UTF8))
        encoding = _encoding(head)
        return content if encoding is None else PlainFile(_Recoded(path, content, encoding), packed, is_packed=True)
    except BaseException:
        packed.close()
        raise


def line_of_no_text(file: BinaryIO) -> int | None:
    """The line of a file from which on it is not in UTF-8, about; None: it is. (Arrow's reader of CSV does not ask.)"""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    try:
        while piece := file.read(_BUFFER_BYTES):
            decoder.decode(piece)
            line += piece.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return line
    return None


def packing(head: bytes) -> str | None:
    """How a file is packed that begins like this; None: it is not."""
    return next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), None)


def _unpacked(kind: str, packed: io.BufferedReader) -> Any:
    if kind == "gzip":
        import gzip

        return gzip.GzipFile(fileobj=packed)
    if kind == "bzip2":
        import bz2

        return bz2.BZ2File(packed)
    if kind == "xz":
        return lzma.LZMAFile(packed)
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), kind)


def _refuse_foreign(path: Path, head: bytes, kind: str | None) -> None:
    found = next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), None)
    if head[_TAR_MAGIC] == b"ustar":
        found = "a tar archive"
    if found is None and kind is not None and (again := packing(head)) is not None:
        found = f"packed twice ({kind}, then {again})"
    if found is not None:
        raise InputError(f"{path}: is {found}; unpack or export it: CSV, JSON, JSON lines and Parquet are read")


def _encoding(head: bytes) -> str | None:
    """The encoding of a text that is not in UTF-8: by its byte order mark, or by the zeros beside plain letters."""
    marked = next((name for mark, name in _BOMS.items() if head.startswith(mark)), None)
    if marked is not None or len(head) < 4:
        return marked
    zeros = bytes(byte == 0 for byte in head[:4])
    return {b"\0\1\0\1": "utf-16-le", b"\1\0\1\0": "utf-16-be"}.get(zeros)


class _Content(io.RawIOBase):
    """What is in a packed file."""

    def __init__(self, path: Path, packed: io.BufferedReader, kind: str | None, progress: Progress | None) -> None:
        self._path, self._packed, self._kind, self._progress = path, packed, kind, progress
        self._file = packed if kind is None else _unpacked(kind, packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size: int = self._packed.readinto(buffer) if self._kind is None else self._unpack_into(buffer)
        if self._progress is not None:
            self._progress(self._packed.tell())
        return size

    def _unpack_into(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
            problem = " ".join(str(error).split())[:200]
            raise InputError(f"{self._path}: cannot be unpacked ({self._kind}): {problem}; is it complete?") from None
        buffer[: len(data)] = data
        return len(data)


class _Recoded(io.RawIOBase):
    """A text in UTF-8 that is in another encoding in the file."""

    def __init__(self, path: Path, file: BinaryIO, encoding: str) -> None:
        self._path, self._file, self._encoding = path, file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            data = self._file.read(len(buffer))
            try:
                self._rest = self._decoder.decode(data, final=not data).encode()
            except UnicodeError as error:
                raise InputError(f"{self._path}: is no valid {self._encoding.upper()}: {error}") from None
            if not data:
                break
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
