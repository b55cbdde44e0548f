"""Copies parts of files, in a process of its own: `python -m aprhub.export.copier`.

Threads of one interpreter wait for each other's Python: while a vocabulary of a hundred
thousand tokens is parsed, no other thread starts a write. Jobs come on standard input,
each a head and two paths; what became of them is told on standard output, in the order
in which they are done. It ends where its input ends, as that of a dead parent does.
"""

import os
import signal
import struct
import sys
import threading
from collections.abc import Iterator
from mmap import mmap
from typing import BinaryIO, Final

from isal import isal_zlib

from aprhub.export.sink import BLOCK, Sink, placed, room

JOB: Final = struct.Struct("<QQQI?HH")
"""A number, where to read and to write, how many bytes, whether their CRC-32 is wanted,
and how long the paths of the two files are, which follow."""

DONE: Final = struct.Struct("<Q?I")
"""The number of a job, whether it was done, and the CRC-32 or 0."""

WINDOW: Final = 256
"""How many jobs are here at most: they last while Python holds on to the interpreter of
who sends them, and end soon after it."""

BATCH: Final = 16
"""How many jobs a thread does at most before it tells of them. All together do fewer
than there are in a window, or nobody would send more."""

Job = tuple[int, int, int, int, bool, bytes, bytes]


def received(stream: BinaryIO) -> Job | None:
    """Return the next job, or None at the end."""
    head = stream.read(JOB.size)
    if len(head) < JOB.size:
        return None
    *numbers, source, target = JOB.unpack(head)
    number, start, offset, nbytes, summed = numbers
    paths = stream.read(source), stream.read(target)
    return number, start, offset, nbytes, summed, *paths


def sent(job: Job) -> bytes:
    """Return a job as it is sent."""
    *numbers, source, target = job
    return JOB.pack(*numbers, len(source), len(target)) + source + target


class Worker:
    """Does one job after the other through a room, or a larger one where one is long.

    The files of the last job stay open, since those of the next one are the same, and
    its report waits for some more, since their ends are written together.
    """

    def __init__(self, memory: mmap, batch: int) -> None:
        """Begin without files; tell of so many jobs at once."""
        self._memory = memory
        self._batch = batch
        self._source = self._target = b""
        self._descriptor: int | None = None
        self._sink: Sink | None = None
        self._reports: list[tuple[int, int | None]] = []

    def work(self, jobs: Iterator[Job]) -> None:
        """Do jobs, and tell what became of each.

        Who sent one that failed does it again, and says what is wrong.
        """
        try:
            for job in jobs:
                crc = None
                try:
                    crc = self._copied(job)
                except OSError:
                    self._fail()
                self._reports.append((job[0], crc))
                if len(self._reports) >= self._batch:
                    self._tell()
        finally:
            self._tell()

    def _tell(self) -> None:
        try:
            if self._sink is not None:
                self._sink.flush()
        except OSError:
            self._fail()
        reports, self._reports = self._reports, []
        told = (DONE.pack(number, crc is not None, crc or 0) for number, crc in reports)
        os.write(sys.stdout.fileno(), b"".join(told))

    def _fail(self) -> None:
        """Count nothing as done that has not been told of: its ends may be lost."""
        self._reports = [(number, None) for number, _ in self._reports]

    def _copied(self, job: Job) -> int:
        """Copy; return the CRC-32 if it is wanted.

        Raises OSError, also where the source ends first.
        """
        _, start, offset, nbytes, summed, source, target = job
        if nbytes > len(self._memory) - BLOCK:
            self._memory = room(nbytes)
        view = placed(self._memory, nbytes, offset)
        _read(self._opened(source), start, view)
        self._sink_of(target).write_placed(view, offset)
        return isal_zlib.crc32(view) if summed else 0

    def _opened(self, path: bytes) -> int:
        if self._descriptor is None or path != self._source:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
            self._descriptor, self._source = os.open(path, os.O_RDONLY), path
        return self._descriptor

    def _sink_of(self, path: bytes) -> Sink:
        if self._sink is None or path != self._target:
            self._tell()
            if self._sink is not None:
                self._sink.close()
                self._sink = None
            self._sink, self._target = Sink.open(path), path
        return self._sink


def _read(descriptor: int, start: int, view: memoryview) -> None:
    while view:
        count = os.preadv(descriptor, [view], start)
        if not count:
            raise OSError("the source became shorter")
        view, start = view[count:], start + count


def main() -> None:
    """Do the jobs that come, in as many threads and rooms as the arguments say."""
    # Who started it hears of an interrupt, too, and ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    workers, room_bytes = map(int, sys.argv[1:])
    batch = max(min(BATCH, WINDOW // (2 * workers)), 1)
    lock = threading.Lock()

    def next_job() -> Job | None:
        with lock:
            return received(sys.stdin.buffer)

    def work() -> None:
        Worker(room(room_bytes), batch).work(iter(next_job, None))

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
