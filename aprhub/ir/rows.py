"""Rows of a source, in another order or fewer of them; rows are never cut."""

import itertools
from collections.abc import Iterator

import numpy as np
from attrs import cmp_using, field, frozen
from numpy.typing import NDArray

from aprhub.ir.source import Bytes, FileRange, Memory, Slice, Source, read

_same_array = cmp_using(eq=np.array_equal)


@frozen
class Gather:
    """Rows of another source, in another order.

    `index[i]` is the parent's row that stands in row `i`. Rows are whole, so a
    quantised block is never cut.
    """

    parent: Source
    row_bytes: int
    index: NDArray[np.int64] = field(eq=_same_array, hash=False, repr=False)

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.index.size * self.row_bytes

    @property
    def granule(self) -> int:
        """One row."""
        return self.row_bytes

    def has_rows_at(self, *positions: int) -> bool:
        """Return whether a row begins or ends at each position."""
        return self.row_bytes > 0 and not any(at % self.row_bytes for at in positions)

    def read_into(self, start: int, out: Bytes) -> None:
        """Read the span that the wanted rows lie in, or run by run if it is wide."""
        first = start // self.row_bytes
        rows = self.index[first : first + out.size // self.row_bytes]
        low, high = int(rows.min()), int(rows.max()) + 1
        if high - low <= 4 * rows.size:
            span = np.empty((high - low) * self.row_bytes, np.uint8)
            read(self.parent, low * self.row_bytes, span)
            view = span.reshape(-1, self.row_bytes)
            np.take(view, rows - low, axis=0, out=out.reshape(-1, self.row_bytes))
        else:
            self._read_runs(rows, out)

    def _read_runs(self, rows: NDArray[np.int64], out: Bytes) -> None:
        position = 0
        for first, count in _runs(rows):
            size = count * self.row_bytes
            read(self.parent, first * self.row_bytes, out[position : position + size])
            position += size

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return a range for each run of rows that are neighbours in the parent."""
        parts = (
            Slice(self.parent, first * self.row_bytes, count * self.row_bytes)
            for first, count in _runs(self.index)
        )
        found = [part.segments() for part in parts]
        known = [ranges for ranges in found if ranges is not None]
        if len(known) != len(found):
            return None
        return tuple(itertools.chain.from_iterable(known))


def _runs(rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    if not rows.size:
        return
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(rows, breaks):
        yield int(run[0]), run.size


def taken(source: Source, row_bytes: int, index: NDArray[np.int64]) -> Source:
    """Return rows of a source; a reordering undone is the source itself."""
    if isinstance(source, Gather) and source.row_bytes == row_bytes:
        return taken(source.parent, row_bytes, source.index[index])
    whole = index.size * row_bytes == source.nbytes
    if whole and np.array_equal(index, np.arange(index.size)):
        return source
    return Gather(source, row_bytes, index)


def sliced(source: Source, start: int, stop: int) -> Source:
    """Return the bytes `[start, stop)` of a source, by the shortest expression."""
    if (start, stop) == (0, source.nbytes):
        return source
    if isinstance(source, FileRange):
        return source.sliced(start, stop)
    if isinstance(source, Memory):
        return Memory(source.data[start:stop])
    if isinstance(source, Slice):
        return Slice(source.parent, source.start + start, stop - start)
    if isinstance(source, Gather) and source.has_rows_at(start, stop):
        rows = slice(start // source.row_bytes, stop // source.row_bytes)
        return taken(source.parent, source.row_bytes, source.index[rows])
    return Slice(source, start, stop - start)
