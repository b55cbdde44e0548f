"""Where the bytes of a tensor come from: file ranges, arrays, and parts of those.

Nothing here computes; what does is in `aprhub.ir.computed`.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.errors import CorruptFileError

Bytes = NDArray[np.uint8]


class Source(Protocol):
    """Bytes that are there when asked for, and not before.

    `read_into` is asked for spans that start and end at multiples of `granule` (or at
    the end); `read` takes any span.
    """

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""

    @property
    def granule(self) -> int:
        """The smallest number of bytes that can be read on its own."""

    def read_into(self, start: int, out: Bytes) -> None:
        """Fill `out` with the bytes from `start` on."""

    def segments(self) -> "tuple[FileRange, ...] | None":
        """Return the file ranges that hold these bytes as they are, or None."""


def read(source: Source, start: int, out: Bytes) -> None:
    """Fill `out` with the bytes of a source from `start` on, wherever that is."""
    if not out.size:
        return
    granule, stop = source.granule, start + out.size
    low = start // granule * granule
    high = min(-(-stop // granule) * granule, source.nbytes)
    if (low, high) == (start, stop):
        source.read_into(start, out)
        return
    wider = np.empty(high - low, np.uint8)
    source.read_into(low, wider)
    out[:] = wider[start - low : stop - low]


@frozen
class FileRange:
    """Some consecutive bytes of a file."""

    path: Path
    offset: int
    nbytes: int
    granule: ClassVar[int] = 1

    def read_into(self, start: int, out: Bytes) -> None:
        """Fill `out` with the bytes from `start` on."""
        with self.path.open("rb", buffering=0) as file:
            self._fill(file, start, out)

    def read(self) -> bytes:
        """Return all the bytes."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            data = file.read(self.nbytes)
        if len(data) == self.nbytes:
            return data
        out = np.empty(self.nbytes, np.uint8)
        self.read_into(0, out)  # which says what is wrong, or reads what is left
        return out.tobytes()

    def read_lines(self, start: int, stride: int, out: Bytes) -> None:
        """Fill each row of `out` with the bytes `stride` after those of the last."""
        with self.path.open("rb", buffering=0) as file:
            for row, line in enumerate(out):
                self._fill(file, start + row * stride, line)

    def _fill(self, file: FileIO, start: int, out: Bytes) -> None:
        view = memoryview(out.data)
        file.seek(self.offset + start)
        while view:
            count = file.readinto(view)
            if not count:
                raise CorruptFileError(
                    self.path,
                    f"the file ends here, {len(view)} bytes early; it was longer"
                    " when it was opened",
                    offset=file.tell(),
                    repair="wait until nothing writes to it, and start again",
                )
            view = view[count:]

    def segments(self) -> "tuple[FileRange, ...]":
        """Return this range."""
        return (self,)

    def sliced(self, start: int, stop: int) -> "FileRange":
        """Return the bytes `[start, stop)` of this range."""
        return FileRange(self.path, self.offset + start, stop - start)


@frozen
class Memory:
    """The bytes of an array; equal only where the array is the same one."""

    data: Bytes = field(eq=id, hash=False, repr=False)
    granule: ClassVar[int] = 1

    @classmethod
    def of(cls, array: NDArray[Any]) -> "Memory":
        """Return the bytes of an array of any dtype, in row-major order."""
        return cls(np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.data.nbytes

    def read_into(self, start: int, out: Bytes) -> None:
        """Copy from `start` on."""
        out[:] = self.data[start : start + out.size]

    def segments(self) -> None:
        """Return None: these bytes are in no file."""


@frozen
class Slice:
    """Consecutive bytes of another source."""

    parent: Source
    start: int
    nbytes: int

    @property
    def granule(self) -> int:
        """The parent's."""
        return self.parent.granule

    def read_into(self, start: int, out: Bytes) -> None:
        """Read from the parent."""
        read(self.parent, self.start + start, out)

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return the part of the parent's ranges that is inside."""
        ranges = self.parent.segments()
        return None if ranges is None else tuple(_clipped(ranges, self))


def _clipped(ranges: Sequence[FileRange], window: Slice) -> Iterator[FileRange]:
    begin = 0
    for each in ranges:
        low = max(window.start - begin, 0)
        high = min(window.start + window.nbytes - begin, each.nbytes)
        if low < high:
            yield each.sliced(low, high)
        begin += each.nbytes


@frozen
class Concatenation:
    """Sources one after the other."""

    parts: tuple[Source, ...]
    nbytes: int
    granule: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, parts: Sequence[Source]) -> Source:
        """Return the parts joined; neighbours in one file, or source, become one."""
        merged = _merged(parts)
        if len(merged) == 1:
            return merged[0]
        sizes = [part.nbytes for part in merged]
        return cls(
            tuple(merged),
            sum(sizes),
            math.lcm(*(part.granule for part in merged)),
            tuple(itertools.accumulate(sizes[:-1], initial=0)),
        )

    def read_into(self, start: int, out: Bytes) -> None:
        """Read from each part that overlaps the request."""
        for begin, part in zip(self.starts, self.parts, strict=True):
            low = max(start - begin, 0)
            high = min(start + out.size - begin, part.nbytes)
            if low < high:
                read(part, low, out[begin + low - start : begin + high - start])

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return the ranges of all parts, or None when one has none."""
        ranges: list[FileRange] = []
        for part in self.parts:
            found = part.segments()
            if found is None:
                return None
            ranges.extend(found)
        return tuple(ranges)


def _merged(parts: Sequence[Source]) -> list[Source]:
    merged: list[Source] = []
    for part in parts:
        last = merged[-1] if merged else None
        joined = _joined(last, part)
        merged[-1:] = [joined] if joined else [*merged[-1:], part]
    return merged


def _joined(last: Source | None, part: Source) -> Source | None:
    """Return what is in one piece in a file, or was in one before it was cut."""
    if isinstance(last, FileRange) and isinstance(part, FileRange):
        if (last.path, last.offset + last.nbytes) == (part.path, part.offset):
            return FileRange(last.path, last.offset, last.nbytes + part.nbytes)
    elif isinstance(last, Slice) and isinstance(part, Slice):
        same = last.parent is part.parent
        if same and last.start + last.nbytes == part.start:
            whole = last.start == 0 and part.start + part.nbytes == last.parent.nbytes
            size = last.nbytes + part.nbytes
            return last.parent if whole else Slice(last.parent, last.start, size)
    return None
