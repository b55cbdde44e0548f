"""Cursor: reads a file forward, and believes no length before checking it."""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aprhub.api import CorruptFileError, FileRange, UnsupportedFileError
from aprhub_gguf.strings import LENGTH_BYTES, Lengths, begins_of, string_lengths
from aprhub_gguf.tables import STRING_BYTES, STRING_COUNT
from aprhub_gguf.texts import decoded, require_texts

_WINDOW = 1 << 20
_LENGTH = struct.Struct("<Q")
_LARGEST_ASCII = 127


class Cursor:
    """A place in a file, with the bytes around it.

    Every method that reads raises CorruptFileError, with the name of the field, when
    the file ends first. No more than one string or one window is held in memory.
    """

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.position = 0
        self._file = file
        self._start = 0
        self._window = b""

    @property
    def left(self) -> int:
        """How many bytes there are before the end of the file."""
        return self.size - self.position

    def take(self, count: int, where: str) -> bytes:
        """Return the next `count` bytes."""
        self._require(count, where)
        begin = self._offset_of(count, where)
        self.position += count
        return self._window[begin : begin + count]

    def unpack(self, layout: struct.Struct, where: str) -> Any:
        """Return the one value of a `struct` layout."""
        return layout.unpack(self.take(layout.size, where))[0]

    def string(self, where: str, limit: int = STRING_BYTES) -> str:
        """Return a string that follows its length in bytes."""
        return self.text(self.string_length(where, limit), where)

    def string_length(self, where: str, limit: int = STRING_BYTES) -> int:
        """Return how many bytes the string has that follows."""
        length: int = self.unpack(_LENGTH, where)
        self._require(length, where)
        if length > limit:
            raise UnsupportedFileError(
                self.path,
                f"{where} is a string of {length} bytes, at most {limit} are read;"
                " write the file anew with a shorter one",
            )
        return length

    def text(self, length: int, where: str) -> str:
        """Return the text of the next bytes."""
        offset = self.position
        return decoded(self.take(length, where), FileRange(self.path, offset, 0), where)

    def skip_text(self, length: int, where: str) -> FileRange:
        """Pass over a text, which is checked to be one; return where it is."""
        place = FileRange(self.path, self.position, length)
        require_texts(self.take(length, where), (), place, where)
        return place

    def skip(self, count: int, where: str) -> FileRange:
        """Pass over `count` bytes without reading them; return where they are."""
        self._require(count, where)
        skipped = FileRange(self.path, self.position, count)
        self.position += count
        return skipped

    def skip_strings(
        self, count: int, where: str
    ) -> tuple[FileRange, NDArray[np.unsignedinteger[Any]]]:
        """Pass over strings; return where they are, and how long each is.

        They are checked to be text, but not kept.
        """
        self._require(count * LENGTH_BYTES, where)
        if count > STRING_COUNT:
            raise UnsupportedFileError(
                self.path,
                f"{where} has {count} texts, at most {STRING_COUNT} are read; write"
                " the file anew with fewer",
            )
        begin = self.position
        found: list[Lengths] = []
        while count:
            found.append(self._step_over(count, where))
            count -= len(found[-1])
        nbytes = self.position - begin
        if nbytes > STRING_BYTES:
            raise UnsupportedFileError(
                self.path,
                f"{where} has {nbytes} bytes, at most {STRING_BYTES} are read; write"
                " the file anew with fewer",
            )
        self.position = begin
        place = FileRange(self.path, begin, nbytes)
        lengths = np.concatenate(found) if found else np.empty(0, np.int64)
        breaks = begins_of(lengths)[lengths > _LARGEST_ASCII] - LENGTH_BYTES
        require_texts(self.take(nbytes, where), breaks.tolist(), place, where)
        return place, lengths.astype(np.min_scalar_type(lengths.max(initial=0)))

    def _step_over(self, count: int, where: str) -> Lengths:
        """Pass over the strings in the window, or one; return their lengths."""
        self._require(LENGTH_BYTES, where)
        offset = self._offset_of(LENGTH_BYTES, where)
        window = self._window[offset:]
        lengths = string_lengths(window, count)
        if not len(lengths):
            lengths = np.frombuffer(window, "<u8", 1)
        self.position += int(begins_of(lengths)[-1])
        self.skip(int(lengths[-1]), where)
        return lengths.astype(np.int64)

    def _require(self, count: int, where: str) -> None:
        if count > self.left:
            raise CorruptFileError(
                self.path,
                f"{count} bytes are announced, but the file ends after {self.left}:"
                " it is cut short or damaged",
                where=where,
                offset=self.position,
            )

    def _offset_of(self, count: int, where: str) -> int:
        """Return the place in the window of the next `count` bytes."""
        begin = self.position - self._start
        if not 0 <= begin <= len(self._window) - count:
            self._file.seek(self.position)
            self._window = self._file.read(min(max(count, _WINDOW), self.left))
            self._start, begin = self.position, 0
            if len(self._window) < count:
                raise CorruptFileError(
                    self.path,
                    "the file became shorter while it was read",
                    where=where,
                    offset=self.position,
                    repair="wait until it is whole",
                )
        return begin
