"""Copies parts of files, in a process of its own: `python -m aprhub.export.copier`.

Threads of one interpreter wait for each other's Python: while a vocabulary of a hundred
thousand tokens is parsed, no other thread starts a write. Jobs come on standard input,
each a head and two paths; what became of them is told on standard output, in the order
in which they are done. It ends where its input ends, as that of a dead parent does.
"""

import contextlib
import os
import signal
import struct
import sys
import threading
from mmap import mmap
from typing import BinaryIO, Final

from isal import isal_zlib

from aprhub.export.sink import BLOCK, Sink, placed, room

JOB: Final = struct.Struct("<QQQI?HH")
"""A number, where to read and to write, how many bytes, whether their CRC-32 is wanted,
and how long the paths of the two files are, which follow."""

DONE: Final = struct.Struct("<Q?I")
"""The number of a job, whether it was done, and the CRC-32 or 0."""

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


def copied(job: Job, memory: mmap) -> int:
    """Copy through a `room`, or a larger one; return the CRC-32 if it is wanted.

    Raises OSError, also where the source ends first.
    """
    _, start, offset, nbytes, summed, source, target = job
    if nbytes > len(memory) - BLOCK:
        memory = room(nbytes)
    view = placed(memory, nbytes, offset)
    _read(source, start, view)
    sink = Sink.open(target)
    try:
        sink.write_placed(view, offset)
    finally:
        sink.close()
    return isal_zlib.crc32(view) if summed else 0


def _read(path: bytes, start: int, view: memoryview) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while view:
            count = os.preadv(descriptor, [view], start)
            if not count:
                raise OSError("the source became shorter")
            view, start = view[count:], start + count
    finally:
        os.close(descriptor)


def main() -> None:
    """Do the jobs that come, in as many threads and rooms as the arguments say."""
    # Who started it hears of an interrupt, too, and ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    workers, room_bytes = map(int, sys.argv[1:])
    lock = threading.Lock()

    def next_job() -> Job | None:
        with lock:
            return received(sys.stdin.buffer)

    def work() -> None:
        memory = room(room_bytes)
        while job := next_job():
            crc = None
            try:
                # Who sent it does it again, and says what is wrong.
                with contextlib.suppress(OSError):
                    crc = copied(job, memory)
            finally:
                report = DONE.pack(job[0], crc is not None, crc or 0)
                os.write(sys.stdout.fileno(), report)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
