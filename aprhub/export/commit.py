"""Commit: writes any layout into a staging folder, in parallel and in bounded memory.

Peak memory is the number of workers times the piece size, whatever the size of the
model or of its largest tensor.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from mmap import mmap
from operator import attrgetter
from threading import Event, Lock
from typing import Self

import numpy as np
from attrs import Factory, define, field

from aprhub.errors import EnvironmentFailureError
from aprhub.export.copier import Job
from aprhub.export.copying import WORKERS, Copier
from aprhub.export.journal import NAME as JOURNAL
from aprhub.export.journal import Journal
from aprhub.export.output import PIECE_BYTES, Output, Piece
from aprhub.export.sink import placed, room
from aprhub.export.staging import Staging
from aprhub.export.witness import Witness
from aprhub.ir.source import FileRange
from aprhub.spec.layout import Layout, LayoutFile

_Item = tuple[Output, Piece]
_Copy = tuple[Output, Piece, FileRange]

Progress = Callable[[int], None]
"""Is told how many bytes more have been written."""


def _ignore(_count: int) -> None:
    pass


@define
class _Crew:
    """Workers that take pieces from one queue, until it is empty or one fails.

    What a copier was given comes back as `copied`.
    """

    queue: Iterator[_Item]
    progress: Progress
    witness: Witness
    stop: Event
    journal: Journal | None
    copied: Iterator[tuple[int, int | None]] | None = None
    _given: dict[int, _Item] = Factory(dict)
    _lock: Lock = Factory(Lock)

    def give(self, copier: Copier, copies: Iterable[_Copy]) -> None:
        """Let a copier begin with some pieces."""
        self.copied = copier.results(self._jobs(copies))

    def run(self, workers: int) -> None:
        """Work until the queue is empty; raise what the first failure raised."""
        with ThreadPoolExecutor(workers + 1) as pool:
            running = []
            if self.copied:
                running.append(pool.submit(self.oversee, self.copied))
            running += [pool.submit(self.work) for _ in range(workers)]
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            self.stop.set()
        for future in done:
            future.result()

    def work(self) -> None:
        """Write pieces until there are none, or until told to stop."""
        memory = room(PIECE_BYTES)
        while not self.stop.is_set():
            with self._lock:
                item = next(self.queue, None)
            if item is None:
                return
            self._write(*item, memory)
            self.progress(item[1].nbytes)

    def oversee(self, copied: Iterable[tuple[int, int | None]]) -> None:
        """Take note of what was copied; write what could not be, and raise why."""
        memory = room(PIECE_BYTES)
        for number, crc in copied:
            output, piece = self._given.pop(number)
            if self.stop.is_set():
                return
            if crc is None:
                self._write(output, piece, memory)
            else:
                self.witness.keep(piece.data, piece.start, piece.nbytes, crc)
                output.keep(piece, crc)
                output.wrote(piece.nbytes)
            self.progress(piece.nbytes)

    def _jobs(self, copies: Iterable[_Copy]) -> Iterator[Job]:
        for number, (output, piece, source) in enumerate(copies):
            self._given[number] = (output, piece)
            yield (
                number,
                source.offset + piece.start,
                piece.offset,
                piece.nbytes,
                bool(output.places) or self.witness.watches(piece.data),
                os.fsencode(source.path),
                os.fsencode(output.path),
            )

    def _write(self, output: Output, piece: Piece, memory: mmap) -> None:
        if piece.nbytes > PIECE_BYTES:
            memory = room(piece.nbytes)
        view = placed(memory, piece.nbytes, piece.offset)
        buffer = np.frombuffer(view, np.uint8)
        noted = (output.number, piece.offset, piece.nbytes)
        if self.journal and noted in self.journal.done:
            output.sink.read_into(piece.offset, view)
        else:
            piece.data.tensor.read_into(piece.start, buffer)
            output.sink.write_placed(view, piece.offset)
            if self.journal:
                self.journal.note(noted)
        self.witness.note(piece.data, piece.start, buffer)
        output.note(piece.offset, buffer)
        output.wrote(piece.nbytes)


@define
class Writing:
    """The files of a layout while they are written; left, it stops and closes them.

    `outline` writes everything but tensors and checksums, which is all that a reader
    looks at when it opens the files. `fill` starts to write the rest in the background,
    before that or after, and `settle` waits until all of it is durable. Before an
    outline nobody asks how large the files without tensors are. All raise
    EnvironmentFailureError when the disk is full or a write fails. One that is
    `resumable` keeps a journal, and leaves out what it says is there. A copier has
    what is only copied, and is ended.
    """

    layout: Layout
    staging: Staging
    resumable: bool = False
    copier: Copier | None = None
    _outputs: dict[int, Output] = field(factory=dict)
    _stop: Event = Factory(Event)
    _pool: ThreadPoolExecutor = Factory(partial(ThreadPoolExecutor, 1))
    _filling: Future[None] | None = None
    _journal: Journal | None = None

    def __enter__(self) -> Self:
        """Give the writing itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop what is still going on, and close the files."""
        self._stop.set()
        self._pool.shutdown()
        if self.copier:
            self.copier.close()
        if self._journal:
            with contextlib.suppress(OSError):
                self._journal.close()
        for output in self._outputs.values():
            output.close()

    @property
    def resumed(self) -> int:
        """How many pieces an earlier run had written."""
        return len(self._journal.done) if self._journal else 0

    def outline(self) -> None:
        """Write headers, tables and metadata to the files, which else are sparse."""
        with _failing(self.staging):
            for output in self._begun(lambda _file: True):
                output.outline()

    def _begun(self, wanted: Callable[[LayoutFile], bool]) -> list[Output]:
        """Return the wanted files at their full sizes, made unless that was done.

        A run that is to be resumed makes all at once: sizes tell whether it got there.
        """
        first = self.resumable and not self._outputs
        if first:
            _remove_unlike(self.layout, self.staging)
            self._journal = Journal.of(self.staging.folder, self._sync)
        outputs = [
            self._output(number, file)
            for number, file in enumerate(self.layout.files)
            if first or wanted(file)
        ]
        return [each for each in outputs if wanted(each.file)]

    def _output(self, number: int, file: LayoutFile) -> Output:
        if number not in self._outputs:
            path = self.staging.path(file.name)
            path.touch(exist_ok=self.resumable)
            output = Output.of(number, file, path)
            output.begin()
            self._outputs[number] = output
        return self._outputs[number]

    def _sync(self) -> None:
        for output in tuple(self._outputs.values()):
            output.sync()

    def fill(
        self,
        progress: Progress | None = None,
        workers: int = 0,
        witness: Witness | None = None,
    ) -> None:
        """Start to write all tensors, in parallel, and then the checksums.

        The bytes are the same for any number of workers. The witness sees all that is
        read.
        """
        _require_space(self.layout, self.staging)
        with _failing(self.staging):
            outputs = self._begun(attrgetter("has_tensors"))
            for output in outputs:
                output.preallocate()
        sees = witness or Witness.of((), self.layout)
        told = progress or _ignore
        crew = _Crew(_pieces(outputs), told, sees, self._stop, self._journal)
        if self.copier:
            crew.queue = (each for each in crew.queue if _copied(each[1]) is None)
            crew.give(self.copier, _copies(outputs))
        tensors = sum(each.file.tensor_bytes for each in outputs)
        besides = self.layout.bulk - tensors
        self._filling = self._pool.submit(_fill, crew, workers or WORKERS, besides)

    def settle(self) -> None:
        """Wait until everything is written and durable.

        Raises whatever reading a tensor raises.
        """
        if self._filling:
            with _failing(self.staging):
                self._filling.result()


def _pieces(outputs: Iterable[Output]) -> Iterator[_Item]:
    return ((output, piece) for output in outputs for piece in output.pieces())


def _copied(piece: Piece) -> FileRange | None:
    """Return where a piece lies already, unless it is computed."""
    source = piece.data.tensor.source
    return source if isinstance(source, FileRange) else None


def _copies(outputs: Iterable[Output]) -> Iterator[_Copy]:
    for output, piece in _pieces(outputs):
        source = _copied(piece)
        if source is not None:
            yield output, piece, source


def _fill(crew: _Crew, workers: int, besides: int) -> None:
    crew.run(workers)
    crew.progress(besides)


@contextlib.contextmanager
def _failing(staging: Staging) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFailureError(
            f"{staging.target}: writing failed: {error}; nothing was put in place;"
            " mend that, or write to another disk"
        ) from error


def _require_space(layout: Layout, staging: Staging) -> None:
    free = shutil.disk_usage(staging.folder).free
    if free < layout.bulk:
        raise EnvironmentFailureError(
            f"{staging.target}: needs {layout.bulk} bytes, but only {free} are free"
            f" on the disk of {staging.target.parent}; free some, or write elsewhere"
        )


def _remove_unlike(layout: Layout, staging: Staging) -> None:
    """Remove what an earlier run left, unless all files are there at their sizes."""
    paths = [staging.path(file.name) for file in layout.files]
    sizes = [path.stat().st_size if path.exists() else None for path in paths]
    if sizes != [file.nbytes for file in layout.files]:
        for path in (*paths, staging.folder / JOURNAL):
            path.unlink(missing_ok=True)
