"""Output: one file of a layout while it is written."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import Self

from attrs import Factory, define, field, frozen

from aprhub.errors import PluginError
from aprhub.export.checksums import Checksums, Place, places
from aprhub.export.sink import BLOCK, Sink
from aprhub.ir.source import Bytes, FileRange
from aprhub.ir.tensor import Tensor
from aprhub.spec.layout import LayoutFile, Literal, TensorData

PIECE_BYTES = 1 << 20
"""How much is copied at a time; one piece of each worker fits the caches."""


def _literal_bytes(file: LayoutFile) -> int:
    return sum(each.nbytes for each in file.segments if isinstance(each, Literal))


@frozen
class Piece:
    """Some bytes of one tensor, and where they go in the file."""

    data: TensorData
    start: int
    nbytes: int
    offset: int


def _piece_bytes(tensor: Tensor) -> int:
    """Return how large pieces may be: computed ones by what their values take."""
    if isinstance(tensor.source, FileRange):
        return PIECE_BYTES
    return max(PIECE_BYTES * tensor.nbytes // max(4 * tensor.size, 1), 1)


def _spelled(segment: Literal, name: str, offset: int) -> bytes:
    data = segment.data
    if len(data) != segment.nbytes:
        raise PluginError(
            f"layout of {name}: {len(data)} bytes were spelled out for byte {offset},"
            f" {segment.nbytes} announced; report it to the author of the format"
        )
    return data


@define
class Output:
    """A file being written: where to, and checksums of what it has so far.

    It is open from its first piece to its last, since a model may have more shards
    than a process may open files. What is left to do is counted in bytes.
    """

    number: int
    file: LayoutFile
    path: Path
    places: tuple[Place, ...]
    checksums: Checksums = field(factory=Checksums)
    _sink: Sink | None = None
    _left: int = 0
    _lock: RLock = Factory(RLock)

    @classmethod
    def of(cls, number: int, file: LayoutFile, path: Path) -> Self:
        """Return a file of a layout that is not open yet."""
        left = file.tensor_bytes + _literal_bytes(file)
        return cls(number, file, path, places(file), left=left)

    @property
    def sink(self) -> Sink:
        """The open file."""
        with self._lock:
            if self._sink is None:
                self._sink = Sink.open(self.path)
            return self._sink

    def begin(self) -> None:
        """Give the file its size, without taking the space."""
        os.truncate(self.path, self.file.nbytes)

    def outline(self) -> None:
        """Write what is neither tensor nor checksum, while those may be written, too.

        Raises PluginError for a literal of another length than it was said to have.
        """
        offset = 0
        with contextlib.closing(Sink.open(self.path)) as sink:
            for segment in self.file.segments:
                if isinstance(segment, Literal):
                    data = _spelled(segment, self.file.name, offset)
                    sink.write(data, offset)
                    self.note(offset, data)
                offset += segment.nbytes
        self.wrote(_literal_bytes(self.file))

    def preallocate(self) -> None:
        """Take the space at once, where the file system can do that."""
        if hasattr(os, "posix_fallocate") and self.file.nbytes:
            try:
                os.posix_fallocate(self.sink.descriptor, 0, self.file.nbytes)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
        self.close()

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces of all tensors, in order."""
        offset = 0
        for segment in self.file.segments:
            if isinstance(segment, TensorData):
                limit = _piece_bytes(segment.tensor)
                for start, length in segment.tensor.chunks(limit, -offset % BLOCK):
                    yield Piece(segment, start, length, offset + start)
            offset += segment.nbytes

    def note(self, offset: int, data: Bytes | bytes) -> None:
        """Keep the checksum of bytes that were written at an offset, if any is due."""
        if self.places:
            self.checksums.note(offset, data)

    def keep(self, piece: Piece, crc: int) -> None:
        """Keep the checksum of a piece that a copier has written, if any is due."""
        if self.places:
            self.checksums.keep(piece.offset, piece.nbytes, crc)

    def wrote(self, nbytes: int) -> None:
        """Count what was written; after the last of it, finish."""
        with self._lock:
            self._left -= nbytes
            if not self._left:
                self._finish()

    def _finish(self) -> None:
        """Write the checksums, each after those before it; make the file durable."""
        for place in self.places:
            crc = self.checksums.over(place.start, place.stop)
            digest = crc.to_bytes(4, "little")
            self.sink.write(digest, place.offset)
            self.checksums.note(place.offset, digest)
        self.sink.flush()
        os.fsync(self.sink.descriptor)
        self.close()

    def sync(self) -> None:
        """Make what was written durable."""
        with self._lock:
            if self._sink:
                self._sink.flush()
                os.fsync(self._sink.descriptor)

    def close(self) -> None:
        """Close the file, if it is open."""
        with self._lock:
            if self._sink:
                self._sink.close()
                self._sink = None
