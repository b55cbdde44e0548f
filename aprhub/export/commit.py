"""Commit: writes any layout into a staging folder, in parallel and in bounded memory.

Peak memory is the number of workers times the piece size, whatever the size of the
model or of its largest tensor.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
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
        """Write the checksums, each after those before it."""
        for place in self.places:
            crc = self.checksums.over(place.start, place.stop)
            digest = crc.to_bytes(4, "little")
            write_all(self.descriptor, digest, place.offset)
            self.checksums.note(place.offset, digest)


@define
class _Crew:
    """Workers that take pieces from one queue, until it is empty or one fails."""

    queue: Iterator[tuple[_Output, Piece]]
    progress: Progress
    roads: Chooser = Factory(Chooser)
    stop: Event = Factory(Event)
    _lock: Lock = Factory(Lock)

    def work(self) -> None:
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
    """The files of a layout while they are written; closed when it is left.

    `outline` makes each file at its full size with everything but tensors and
    checksums, which is all that a reader looks at when it opens them; `fill` adds the
    rest. Making the files durable goes on in the background until `settle`. All raise
    EnvironmentFailureError when the disk is full or a write fails.
    """

    layout: Layout
    staging: Staging
    _outputs: list[_Output] = field(factory=list)
    _syncing: list[Future[None]] = field(factory=list)
    _pool: ThreadPoolExecutor = Factory(partial(ThreadPoolExecutor, 2))

    def __enter__(self) -> Self:
        """Give the writing itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the files, when nobody works on them any more."""
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
        """Write all tensors, in parallel, and the checksums.

        The bytes are the same for any number of workers. Raises whatever reading a
        tensor raises.
        """
        _require_space(self.layout, self.staging)
        with _failing(self.staging):
            for output in self._outputs:
                _preallocate(output)
            _write_pieces(self._outputs, progress or _ignore, workers or WORKERS)
            (progress or _ignore)(sum(map(_bytes_besides_tensors, self.layout.files)))
            for output in self._outputs:
                output.finish()
                self._syncing.append(self._pool.submit(os.fsync, output.descriptor))

    def settle(self) -> None:
        """Wait until all files are durable."""
        with _failing(self.staging):
            for syncing in self._syncing:
                syncing.result()


@contextlib.contextmanager
def _failing(staging: Staging) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFailureError(
            f"{staging.target}: writing failed: {error}; nothing was put in place"
        ) from error


def write(
    layout: Layout,
    staging: Staging,
    progress: Progress | None = None,
    workers: int = 0,
) -> None:
    """Write all files of a layout into a staging folder, durably."""
    with Writing(layout, staging) as writing:
        writing.outline()
        writing.fill(progress, workers)
        writing.settle()


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


def _write_pieces(outputs: Sequence[_Output], progress: Progress, workers: int) -> None:
    queue = ((output, piece) for output in outputs for piece in output.pieces())
    crew = _Crew(queue, progress)
    with ThreadPoolExecutor(workers) as pool:
        try:
            running = [pool.submit(crew.work) for _ in range(workers)]
            _raise_first(running, crew.stop)
        finally:
            crew.stop.set()


def _raise_first(running: Sequence[Future[None]], stop: Event) -> None:
    done, _ = wait(running, return_when=FIRST_EXCEPTION)
    stop.set()
    for future in done:
        future.result()
