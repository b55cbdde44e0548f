"""Roads: how bytes get from one file to another, and which is fastest here.

Which one wins depends on the kernel, the file systems and the storage, so it is
measured on the first pieces of each commit. A checksum needs the bytes in memory and
so always takes the buffer.
"""

import os
import sys
import time
from collections.abc import Callable
from threading import Lock

from attrs import Factory, define, field

from aprhub.ir.source import Bytes, FileRange

Road = Callable[[FileRange, int, int, Bytes], None]
"""Copies a range to a place in a file, given by descriptor and offset."""

TRIALS = 3
"""How many pieces are copied by each road before one is chosen."""


def through_memory(
    extent: FileRange, descriptor: int, offset: int, room: Bytes
) -> None:
    """Copy through a buffer of the caller's."""
    piece = room[: extent.nbytes]
    extent.read_into(0, piece)
    write_all(descriptor, piece, offset)


def in_kernel(extent: FileRange, descriptor: int, offset: int, _room: Bytes) -> None:
    """Copy without entering user space; shares blocks on file systems that can."""
    with extent.path.open("rb", buffering=0) as file:
        done = 0
        while done < extent.nbytes:
            count = os.copy_file_range(
                file.fileno(),
                descriptor,
                extent.nbytes - done,
                extent.offset + done,
                offset + done,
            )
            if not count:
                rest = FileRange(
                    extent.path, extent.offset + done, extent.nbytes - done
                )
                through_memory(rest, descriptor, offset + done, _room)
                return
            done += count


def write_all(descriptor: int, data: Bytes | bytes, offset: int) -> None:
    """Write all of a buffer at an offset."""
    view = memoryview(data if isinstance(data, bytes) else data.data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def _candidates() -> list[Road]:
    kernel = [in_kernel] if sys.platform == "linux" else []
    return [through_memory, *kernel]


@define
class Chooser:
    """Tries each road on a few pieces, then keeps to the fastest."""

    roads: list[Road] = Factory(_candidates)
    _seconds: dict[Road, float] = field(factory=dict)
    _tried: dict[Road, int] = field(factory=dict)
    _lock: Lock = Factory(Lock)

    def copy(
        self, extent: FileRange, descriptor: int, offset: int, room: Bytes
    ) -> None:
        """Copy a range by the road that is best so far."""
        road = self._next()
        start = time.perf_counter()
        try:
            road(extent, descriptor, offset, room)
        except OSError:
            if road is through_memory:
                raise
            with self._lock:
                self.roads = [through_memory]
            through_memory(extent, descriptor, offset, room)
            return
        self._note(road, (time.perf_counter() - start) / extent.nbytes)

    def _next(self) -> Road:
        with self._lock:
            untried = [r for r in self.roads if self._tried.get(r, 0) < TRIALS]
            if untried:
                road = min(untried, key=lambda each: self._tried.get(each, 0))
            else:
                road = min(self.roads, key=lambda each: self._seconds[each])
            self._tried[road] = self._tried.get(road, 0) + 1
            return road

    def _note(self, road: Road, seconds_per_byte: float) -> None:
        """Keep the best time of each road: the first pieces meet cold caches."""
        with self._lock:
            best = self._seconds.get(road, seconds_per_byte)
            self._seconds[road] = min(best, seconds_per_byte)
