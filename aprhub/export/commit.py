"""Commit: writes any layout into a staging folder, in parallel and in bounded memory.

Peak memory is the number of workers times the piece size, whatever the size of the
model or of its largest tensor.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Self

import numpy as np
from attrs import Factory, define, field, frozen

from aprhub.errors import EnvironmentFailureError
from aprhub.export.checksums import Checksums, Place, places
from aprhub.export.roads import Chooser, write_all
from aprhub.export.staging import Staging
from aprhub.ir.source import Bytes, FileRange
from aprhub.spec.layout import Layout, LayoutFile, Literal, TensorData

PIECE_BYTES = 1 << 22
WORKERS = min(os.cpu_count() or 1, 8)

Progress = Callable[[int], None]
"""Is told how many bytes more have been written."""


def _ignore(_count: int) -> None:
    pass


@frozen
class Piece:
    """Some bytes of one tensor, and where they go in the file."""

    data: TensorData
    start: int
    nbytes: int
    offset: int


@define
class _Output:
    """A file being written: its descriptor, and checksums of what it has so far."""

    file: LayoutFile
    descriptor: int
    places: tuple[Place, ...]
    checksums: Checksums = field(factory=Checksums)

    def outline(self) -> None:
        """Give the file its size, and write what is neither tensor nor checksum."""
        os.truncate(self.descriptor, self.file.nbytes)
        offset = 0
        for segment in self.file.segments:
            if isinstance(segment, Literal):
                write_all(self.descriptor, segment.data, offset)
                self.note(offset, segment.data)
            offset += segment.nbytes

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces of all tensors, in order."""
        offset = 0
        for segment in self.file.segments:
            if isinstance(segment, TensorData):
                for start, length in segment.tensor.chunks(PIECE_BYTES):
                    yield Piece(segment, start, length, offset + start)
            offset += segment.nbytes

    def note(self, offset: int, data: Bytes | bytes) -> None:
        """Keep the checksum of bytes that were written at an offset, if any is due."""
        if self.places:
            self.checksums.note(offset, data)

    def finish(self) -> None:
        """Write the checksums, each after those before it; make the file durable."""
        for place in self.places:
            crc = self.checksums.over(place.start, place.stop)
            digest = crc.to_bytes(4, "little")
            write_all(self.descriptor, digest, place.offset)
            self.checksums.note(place.offset, digest)
        os.fsync(self.descriptor)


@define
class _Crew:
    """Workers that take pieces from one queue, until it is empty or one fails."""

    queue: Iterator[tuple[_Output, Piece]]
    progress: Progress
    stop: Event
    roads: Chooser = Factory(Chooser)
    _lock: Lock = Factory(Lock)

    def run(self, workers: int) -> None:
        """Work until the queue is empty; raise what the first failure raised."""
        with ThreadPoolExecutor(workers) as pool:
            running = [pool.submit(self.work) for _ in range(workers)]
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            self.stop.set()
        for future in done:
            future.result()

    def work(self) -> None:
        """Write pieces until there are none, or until told to stop."""
        room = np.empty(PIECE_BYTES, np.uint8)
        while not self.stop.is_set():
            with self._lock:
                item = next(self.queue, None)
            if item is None:
                return
            self._write(*item, room)
            self.progress(item[1].nbytes)

    def _write(self, output: _Output, piece: Piece, room: np.ndarray) -> None:
        source = piece.data.tensor.source
        if isinstance(source, FileRange) and not output.places:
            extent = source.sliced(piece.start, piece.start + piece.nbytes)
            self.roads.copy(extent, output.descriptor, piece.offset, room)
            return
        fits = piece.nbytes <= room.size
        buffer = room[: piece.nbytes] if fits else np.empty(piece.nbytes, np.uint8)
        piece.data.tensor.read_into(piece.start, buffer)
        write_all(output.descriptor, buffer, piece.offset)
        output.note(piece.offset, buffer)


@define
class Writing:
    """The files of a layout while they are written; left, it stops and closes them.

    `outline` makes each file at its full size with everything but tensors and
    checksums, which is all that a reader looks at when it opens them. `fill` starts to
    write the rest in the background, and `settle` waits until all of it is durable.
    All raise EnvironmentFailureError when the disk is full or a write fails.
    """

    layout: Layout
    staging: Staging
    _outputs: list[_Output] = field(factory=list)
    _stop: Event = Factory(Event)
    _pool: ThreadPoolExecutor = Factory(partial(ThreadPoolExecutor, 1))
    _filling: Future[None] | None = None

    def __enter__(self) -> Self:
        """Give the writing itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop what is still going on, and close the files."""
        self._stop.set()
        self._pool.shutdown()
        for output in self._outputs:
            os.close(output.descriptor)

    def outline(self) -> None:
        """Make the files, sparse, with their headers, tables and metadata."""
        with _failing(self.staging):
            for file in self.layout.files:
                self._outputs.append(_opened(file, self.staging.path(file.name)))
                self._outputs[-1].outline()

    def fill(self, progress: Progress | None = None, workers: int = 0) -> None:
        """Start to write all tensors, in parallel, and then the checksums.

        The bytes are the same for any number of workers.
        """
        _require_space(self.layout, self.staging)
        crew = _Crew(self._pieces(), progress or _ignore, self._stop)
        self._filling = self._pool.submit(self._fill, crew, workers or WORKERS)

    def settle(self) -> None:
        """Wait until everything is written and durable.

        Raises whatever reading a tensor raises.
        """
        if self._filling:
            with _failing(self.staging):
                self._filling.result()

    def _pieces(self) -> Iterator[tuple[_Output, Piece]]:
        return (
            (output, piece) for output in self._outputs for piece in output.pieces()
        )

    def _fill(self, crew: "_Crew", workers: int) -> None:
        for output in self._outputs:
            _preallocate(output)
        crew.run(workers)
        crew.progress(sum(map(_bytes_besides_tensors, self.layout.files)))
        for output in self._outputs:
            output.finish()


@contextlib.contextmanager
def _failing(staging: Staging) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFailureError(
            f"{staging.target}: writing failed: {error}; nothing was put in place"
        ) from error


def _require_space(layout: Layout, staging: Staging) -> None:
    free = shutil.disk_usage(staging.folder).free
    if free < layout.nbytes:
        raise EnvironmentFailureError(
            f"{staging.target}: needs {layout.nbytes} bytes, but only {free} are free"
            f" on the disk of {staging.target.parent}"
        )


def _opened(file: LayoutFile, path: Path) -> _Output:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    due = places(file)
    return _Output(file, os.open(path, flags, 0o666), due)


def _preallocate(output: _Output) -> None:
    """Take the space at once, where the file system can do that."""
    size = output.file.nbytes
    if hasattr(os, "posix_fallocate") and size:
        try:
            os.posix_fallocate(output.descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise


def _bytes_besides_tensors(file: LayoutFile) -> int:
    tensors = (each for each in file.segments if isinstance(each, TensorData))
    return file.nbytes - sum(each.nbytes for each in tensors)
