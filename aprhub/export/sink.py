"""Sink: a file that is written at offsets, past the page cache where that can be.

Direct writes cost no page of memory per page written, leave the cache to what is read,
and are on the disk when they return, so that nothing is left for `fsync` to wait for.
They take whole blocks from memory that lies as the file does; the rest of a piece, what
is small, and everything on file systems without them, goes through the cache. A write
through the cache has the file for itself: it waits until no direct one goes on, and
others wait for it. So those of a file that is written directly are made together.
"""

import errno
import mmap
import os
from collections import deque
from pathlib import Path
from threading import Lock
from typing import Final, Self

BLOCK: Final = 4096
"""What direct writes start and end at, in the file and in memory."""

LEAST: Final = 1 << 16
"""How many bytes are worth a direct write: each waits for the disk by itself."""

MOST: Final = 1 << 22
"""How many bytes wait at most to be written through the cache together."""

_NOT_HERE: Final = (errno.EINVAL, errno.EOPNOTSUPP)


class Sink:
    """An open file; `direct` is a second descriptor of it that goes past the cache.

    What was written to a place is there once it has been flushed. It is no attrs class,
    since copiers use it, which should start at once.
    """

    __slots__ = ("_late", "_lock", "_waiting", "descriptor", "direct")

    def __init__(self, descriptor: int, direct: int | None) -> None:
        """Take over two descriptors."""
        self.descriptor = descriptor
        self.direct = direct
        self._late: deque[tuple[bytes, int]] = deque()
        self._waiting = 0
        self._lock = Lock()

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
        """Write all of a buffer that is `placed` for this offset, or flush it later."""
        if self.direct is None:
            self._write_cached(view, offset)
            return
        start, stop = -offset % BLOCK, len(view) - (offset + len(view)) % BLOCK
        if stop - start >= LEAST:
            self._write_late(view[:start], offset)
            done = start + _write_blocks(self.direct, view[start:stop], offset + start)
            view, offset = view[done:], offset + done
        self._write_late(view, offset)

    def flush(self) -> None:
        """Write what is still waiting; what cannot be written goes on waiting."""
        with self._lock:
            while self._late:
                data, offset = self._late[0]
                self.write(data, offset)
                self._late.popleft()
                self._waiting -= len(data)

    def _write_late(self, view: memoryview, offset: int) -> None:
        if not view:
            return
        with self._lock:
            self._late.append((bytes(view), offset))
            self._waiting += len(view)
            is_much = self._waiting >= MOST
        if is_much:
            self.flush()

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
