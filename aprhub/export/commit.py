"""Commit: writes any layout into a staging folder, in parallel and in bounded memory.

Peak memory is the number of workers times the piece size, whatever the size of the
model or of its largest tensor.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event, Lock

import numpy as np
from attrs import Factory, define, field, frozen
from isal import isal_zlib

from aprhub.errors import EnvironmentFailureError
from aprhub.export.roads import Chooser, write_all
from aprhub.export.staging import Staging
from aprhub.ir.source import FileRange
from aprhub.spec.layout import Crc32, Layout, LayoutFile, Literal, TensorData

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
    checksums: dict[int, tuple[int, int]] = field(factory=dict)

    @property
    def wants_checksum(self) -> bool:
        return any(isinstance(each, Crc32) for each in self.file.segments)

    def pieces(self) -> Iterator[Piece]:
        """Write what is not tensors at once; yield the pieces of those that are."""
        offset = 0
        for segment in self.file.segments:
            if isinstance(segment, Literal):
                write_all(self.descriptor, segment.data, offset)
                self.note(offset, segment.data)
            elif isinstance(segment, TensorData):
                for start, length in segment.tensor.chunks(PIECE_BYTES):
                    yield Piece(segment, start, length, offset + start)
            offset += segment.nbytes

    def note(self, offset: int, data: bytes | np.ndarray) -> None:
        """Keep the checksum of bytes that were written at an offset."""
        if self.wants_checksum:
            self.checksums[offset] = (isal_zlib.crc32(data), len(data))

    def finish(self) -> None:
        """Write the checksum of everything before it, and make the file durable."""
        offset = 0
        for segment in self.file.segments:
            if isinstance(segment, Crc32):
                digest = self._checksum(offset).to_bytes(4, "little")
                write_all(self.descriptor, digest, offset)
                self.note(offset, digest)
            offset += segment.nbytes
        os.fsync(self.descriptor)

    def _checksum(self, stop: int) -> int:
        """Return the CRC-32 of the bytes before `stop`; gaps are zeros."""
        crc, position = 0, 0
        for offset, (part, length) in sorted(self.checksums.items()):
            if offset >= stop:
                break
            crc = isal_zlib.crc32(bytes(offset - position), crc)
            crc = isal_zlib.crc32_combine(crc, part, length)
            position = offset + length
        return isal_zlib.crc32(bytes(stop - position), crc)


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
        if isinstance(source, FileRange) and not output.wants_checksum:
            extent = source.sliced(piece.start, piece.start + piece.nbytes)
            self.roads.copy(extent, output.descriptor, piece.offset, room)
            return
        fits = piece.nbytes <= room.size
        buffer = room[: piece.nbytes] if fits else np.empty(piece.nbytes, np.uint8)
        piece.data.tensor.read_into(piece.start, buffer)
        write_all(output.descriptor, buffer, piece.offset)
        output.note(piece.offset, buffer)


def write(
    layout: Layout,
    staging: Staging,
    progress: Progress | None = None,
    workers: int = 0,
) -> None:
    """Write all files of a layout into a staging folder, durably.

    The bytes are the same for any number of workers. Raises EnvironmentFailureError
    when the disk is full or a write fails, and whatever reading a tensor raises.
    """
    _require_space(layout, staging)
    outputs: list[_Output] = []
    try:
        for file in layout.files:
            outputs.append(_opened(file, staging.path(file.name)))
        _write_pieces(outputs, progress or _ignore, workers or WORKERS)
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(_Output.finish, outputs))
    except OSError as error:
        raise EnvironmentFailureError(
            f"{staging.target}: writing failed: {error.strerror or error}; nothing was"
            " put in place"
        ) from error
    finally:
        for output in outputs:
            os.close(output.descriptor)


def _require_space(layout: Layout, staging: Staging) -> None:
    free = shutil.disk_usage(staging.folder).free
    if free < layout.nbytes:
        raise EnvironmentFailureError(
            f"{staging.target}: needs {layout.nbytes} bytes, but only {free} are free"
            f" on the disk of {staging.target.parent}"
        )


def _opened(file: LayoutFile, path: Path) -> _Output:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    os.truncate(descriptor, file.nbytes)
    if hasattr(os, "posix_fallocate") and file.nbytes:
        os.posix_fallocate(descriptor, 0, file.nbytes)
    return _Output(file, descriptor)


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
