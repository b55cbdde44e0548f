"""Checksums of a file that is written in pieces, in any order, by several threads."""

from bisect import bisect_left
from collections.abc import Sequence

from attrs import define, field, frozen
from isal import isal_zlib

from aprhub.errors import PluginError
from aprhub.ir.source import Bytes
from aprhub.spec.layout import Crc32, LayoutFile

Span = tuple[int, int, int]
"""Where some written bytes start and stop, and their CRC-32."""


@define
class Checksums:
    """The CRC-32 of every part that was written; what was not is zeros."""

    _spans: dict[int, Span] = field(factory=dict)

    def note(self, offset: int, data: Bytes | bytes) -> None:
        """Keep the checksum of bytes that were written at an offset."""
        self.keep(offset, len(data), isal_zlib.crc32(data))

    def keep(self, offset: int, nbytes: int, crc: int) -> None:
        """Keep a checksum of bytes at an offset that somebody else has taken."""
        self._spans[offset] = (offset, offset + nbytes, crc)

    def over(self, start: int, stop: int) -> int:
        """Return the CRC-32 of the bytes `[start, stop)`, which cut no written part."""
        crc, position = 0, start
        for begin, end, part in self._within(start, stop):
            crc = isal_zlib.crc32(bytes(begin - position), crc)
            crc = isal_zlib.crc32_combine(crc, part, end - begin)
            position = end
        return isal_zlib.crc32(bytes(stop - position), crc)

    def _within(self, start: int, stop: int) -> list[Span]:
        ordered = sorted(self._spans.values())
        first, last = (bisect_left(ordered, (at, at, 0)) for at in (start, stop))
        return ordered[first:last]


@frozen
class Place:
    """Where a checksum stands in its file, and the bytes that it covers."""

    offset: int
    start: int
    stop: int


def places(file: LayoutFile) -> tuple[Place, ...]:
    """Return the places of all checksums of a file.

    Raises PluginError when one covers a part of a segment, bytes outside of the file,
    or a checksum that is not yet known.
    """
    found: list[Place] = []
    borders, offset = {0}, 0
    for segment in file.segments:
        if isinstance(segment, Crc32):
            stop = offset if segment.stop is None else segment.stop
            found.append(Place(offset, segment.start, stop))
        offset += segment.nbytes
        borders.add(offset)
    offsets = [place.offset for place in found]
    for place in found:
        if not _is_sound(place, offsets, borders):
            raise PluginError(
                f"layout of {file.name}: the checksum at byte {place.offset} covers"
                f" [{place.start}, {place.stop}), which must be whole segments, none"
                " of them a checksum that follows it or itself; report it to the author"
                " of the format"
            )
    return tuple(found)


def _is_sound(place: Place, offsets: Sequence[int], borders: set[int]) -> bool:
    unknown = bisect_left(offsets, max(place.offset, place.start))
    known = unknown == len(offsets) or offsets[unknown] >= place.stop
    return known and place.start <= place.stop and {place.start, place.stop} <= borders
