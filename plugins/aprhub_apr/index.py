"""The tensor index: one entry for each tensor, sorted by name.

An entry, without padding between entries:

    u16 name length, name (UTF-8), u8 type id, u8 number of dimensions,
    u64 each dimension, outermost first, u64 offset from the data's start, u64 bytes
"""

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import define, frozen

from aprhub.api import ENCODINGS, CorruptFileError, Encoding
from aprhub_apr.tables import (
    ALIGNMENT,
    MOST_DIMENSIONS,
    MOST_ELEMENTS,
    TYPE_MEANINGS,
)


@frozen
class Entry:
    """A row of the index; `offset` counts from the start of the tensor data.

    `place` is the byte of the file at which the row itself starts.
    """

    name: str
    type_id: int
    shape: tuple[int, ...]
    offset: int
    size: int
    place: int = 0

    @property
    def padded_end(self) -> int:
        """Where the payload ends with its padding, from the start of the data."""
        return self.offset + -(-self.size // ALIGNMENT) * ALIGNMENT

    def packed(self) -> bytes:
        """Return the bytes of the row."""
        name = self.name.encode()
        return struct.pack(
            f"<H{len(name)}sBB{len(self.shape)}QQQ",
            len(name),
            name,
            self.type_id,
            len(self.shape),
            *self.shape,
            self.offset,
            self.size,
        )


@define
class _Cursor:
    """A place in the index, which never moves past the index's end."""

    path: Path
    data: bytes
    base: int
    position: int = 0

    def unpack(self, code: str) -> tuple[Any, ...]:
        layout = struct.Struct(f"<{code}")
        return layout.unpack(self.take(layout.size))

    def take(self, count: int) -> bytes:
        missing = self.position + count - len(self.data)
        if missing > 0:
            raise self.error(f"an entry reaches {missing} bytes into the tensor data")
        self.position += count
        return self.data[self.position - count : self.position]

    def error(self, what: str, start: int | None = None) -> CorruptFileError:
        position = self.position if start is None else start
        return CorruptFileError(
            self.path, what, where="tensor index", offset=self.base + position
        )


def parsed(path: Path, data: bytes, base: int, count: int) -> tuple[Entry, ...]:
    """Return the entries in `data`, which stand at byte `base` of the file.

    Raises CorruptFileError when entries are cut short, cannot be, or are not in the
    strictly ascending order of their names' bytes.
    """
    cursor = _Cursor(path, data, base)
    entries = tuple(_entry(cursor) for _ in range(count))
    for previous, entry in pairwise(entries):
        _check_order(cursor, previous, entry)
    return entries


def _entry(cursor: _Cursor) -> Entry:
    start = cursor.position
    (length,) = cursor.unpack("H")
    raw = cursor.take(length)
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise cursor.error(f"the name {raw!r:.80} is not UTF-8", start) from error
    type_id, ndim = cursor.unpack("BB")
    if ndim > MOST_DIMENSIONS:
        raise cursor.error(
            f"tensor {name!r:.80} has {ndim} dimensions, at most {MOST_DIMENSIONS} are"
            " possible",
            start,
        )
    shape = cursor.unpack(f"{ndim}Q")
    offset, size = cursor.unpack("QQ")
    return Entry(name, type_id, shape, offset, size, cursor.base + start)


def _check_order(cursor: _Cursor, previous: Entry, entry: Entry) -> None:
    before, name = previous.name, entry.name
    if before.encode() < name.encode():
        return
    found = (
        f"two tensors are called {name!r:.80}"
        if name == before
        else f"{name!r:.80} comes after {before!r:.80}, but names have to ascend"
    )
    what = f"{found} (or tensor_count in the header is wrong)"
    raise cursor.error(what, entry.place - cursor.base)


def encoding(path: Path, entry: Entry) -> Encoding:
    """Return the encoding that fits an entry's type id, shape and size.

    Raises CorruptFileError when no meaning of the type id does.
    """
    if max((*entry.shape, math.prod(entry.shape))) > MOST_ELEMENTS:
        raise _wrong(path, entry, f"at most {MOST_ELEMENTS} elements are possible")
    meanings = TYPE_MEANINGS.get(entry.type_id, ())
    if not meanings:
        known = ", ".join(map(str, TYPE_MEANINGS))
        raise _wrong(path, entry, f"an unknown type (known: {known})")
    sizes = {name: ENCODINGS[name].nbytes(entry.shape) for name in meanings}
    for name, size in sizes.items():
        if size == entry.size:
            return ENCODINGS[name]
    takes = " or ".join(f"{size} as {name}" for name, size in sizes.items())
    raise _wrong(path, entry, f"{entry.size} bytes, though it takes {takes}")


def _wrong(path: Path, entry: Entry, what: str) -> CorruptFileError:
    return CorruptFileError(
        path,
        f"type {entry.type_id}, shape {list(entry.shape)}: {what}",
        where=f"tensor {entry.name!r:.80}",
        offset=entry.place,
    )


def overlaps(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Yield neighbours whose payloads share bytes."""
    placed = sorted((each for each in entries if each.size), key=lambda e: e.offset)
    for first, second in pairwise(placed):
        if first.offset + first.size > second.offset:
            yield first, second


def required_size(data_offset: int, metadata_end: int, entries: Sequence[Entry]) -> int:
    """Return how many bytes a file has at least, without its footer.

    The last payload counts with its padding.
    """
    ends = (data_offset + each.padded_end for each in entries)
    return max(data_offset, metadata_end, *ends)
