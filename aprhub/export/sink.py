"""Sink: a file that is written at offsets, past the page cache where that can be.

Direct writes cost no page of memory per page written, leave the cache to what is read,
and are on the disk when they return, so that nothing is left for `fsync` to wait for.
They take whole blocks from memory that lies as the file does; the rest of a piece, what
is small, and everything on file systems without them, goes through the cache.
"""

import errno
import mmap
import os
from pathlib import Path
from typing import Final, Self

BLOCK: Final = 4096
"""What direct writes start and end at, in the file and in memory."""

LEAST: Final = 1 << 16
"""How many bytes are worth a direct write: each waits for the disk by itself."""

_NOT_HERE: Final = (errno.EINVAL, errno.EOPNOTSUPP)


class Sink:
    """An open file; `direct` is a second descriptor of it that goes past the cache.

    It is no attrs class, since copiers use it, which should start at once.
    """

    __slots__ = ("descriptor", "direct")

    def __init__(self, descriptor: int, direct: int | None) -> None:
        """Take over two descriptors."""
        self.descriptor = descriptor
        self.direct = direct

    @classmethod
    def open(cls, path: Path | bytes) -> Self:
        """Open a file that is there."""
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0)
        return cls(os.open(path, flags), _opened_direct(path, flags))

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill a buffer from an offset on; raise OSError where the file ends first."""
        while view:
            data = os.pread(self.descriptor, len(view), offset)
            if not data:
                raise OSError(errno.EIO, "the unfinished output became shorter")
            view[: len(data)] = data
            view, offset = view[len(data) :], offset + len(data)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of some bytes at an offset, through the cache."""
        self._write_cached(memoryview(data), offset)

    def write_placed(self, view: memoryview, offset: int) -> None:
        """Write all of a buffer that is `placed` for this offset."""
        start, stop = -offset % BLOCK, len(view) - (offset + len(view)) % BLOCK
        if self.direct is not None and stop - start >= LEAST:
            self._write_cached(view[:start], offset)
            done = start + _write_blocks(self.direct, view[start:stop], offset + start)
            view, offset = view[done:], offset + done
        self._write_cached(view, offset)

    def _write_cached(self, view: memoryview, offset: int) -> None:
        while view:
            count = os.pwrite(self.descriptor, view, offset)
            view, offset = view[count:], offset + count

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)
        if self.direct is not None:
            os.close(self.direct)


def room(nbytes: int) -> mmap.mmap:
    """Return memory for pieces of a size, wherever in the file they go."""
    return mmap.mmap(-1, nbytes + BLOCK)


def placed(memory: mmap.mmap, nbytes: int, offset: int) -> memoryview:
    """Return the part of a `room` that lies as a piece at an offset does."""
    start = offset % BLOCK
    return memoryview(memory)[start : start + nbytes]


def _opened_direct(path: Path | bytes, flags: int) -> int | None:
    direct = getattr(os, "O_DIRECT", None)
    if direct is None:
        return None
    try:
        return os.open(path, flags | direct)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return None


def _write_blocks(direct: int, view: memoryview, offset: int) -> int:
    """Return how many bytes went past the cache: all, or fewer where that fails."""
    try:
        return os.pwrite(direct, view, offset)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return 0
