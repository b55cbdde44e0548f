"""Witness: compares a source with the checksums that it has of itself.

What a commit copies is seen as it passes; only the rest is read for its sake.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from attrs import define, field, frozen
from isal import isal_zlib

from aprhub.errors import Fault
from aprhub.export.checksums import Checksums
from aprhub.ir.source import Bytes, FileRange
from aprhub.spec.format import StoredChecksum
from aprhub.spec.layout import Layout, TensorData

_PIECE_BYTES = 1 << 21


@frozen
class _Claim:
    """A stored checksum, the parts of what it covers, and what nobody copies of it."""

    stored: StoredChecksum
    gaps: tuple[FileRange, ...]
    found: Checksums = field(factory=Checksums)

    def read_gaps(self) -> None:
        for gap in self.gaps:
            for start in range(0, gap.nbytes, _PIECE_BYTES):
                part = gap.sliced(start, min(start + _PIECE_BYTES, gap.nbytes))
                piece = np.empty(part.nbytes, np.uint8)
                part.read_into(0, piece)
                self.found.note(part.offset, piece)

    def faults(self) -> Iterator[Fault]:
        covered = self.stored.covered
        crc = self.found.over(covered.offset, covered.offset + covered.nbytes)
        if crc != self.stored.crc:
            yield Fault(
                f"{covered.path}: {self.stored.where}",
                f"the checksum is {self.stored.crc:#010x}, the {covered.nbytes} bytes"
                f" that it covers give {crc:#010x}",
                "get the file again from where it came",
            )


@define
class Witness:
    """Sees the pieces of tensors that are copied from a source to a layout.

    `note` may be called from several threads, once for each byte of the layout.
    """

    _claims: tuple[_Claim, ...]
    _seen: dict[int, Checksums]

    @classmethod
    def of(cls, stored: Sequence[StoredChecksum], layout: Layout) -> Self:
        """Return who compares some checksums while a layout is written."""
        claims: list[_Claim] = []
        seen: dict[int, Checksums] = {}
        for each in stored:
            passing = list(_passing(each.covered, layout))
            gaps = tuple(_gaps(each.covered, [extent for extent, _ in passing]))
            claims.append(_Claim(each, gaps))
            seen |= {id(data): claims[-1].found for _, data in passing}
        return cls(tuple(claims), seen)

    def note(self, data: TensorData, start: int, piece: Bytes) -> None:
        """Take note of bytes of a tensor from `start` on, which were just read."""
        if self.watches(data):
            self.keep(data, start, len(piece), isal_zlib.crc32(piece))

    def watches(self, data: TensorData) -> bool:
        """Return whether a checksum covers the bytes of a tensor."""
        return id(data) in self._seen

    def keep(self, data: TensorData, start: int, nbytes: int, crc: int) -> None:
        """Take note of the checksum of such bytes, if one covers them."""
        source = data.tensor.source
        if self.watches(data) and isinstance(source, FileRange):
            self._seen[id(data)].keep(source.offset + start, nbytes, crc)

    def read_rest(self) -> None:
        """Read what checksums cover and nobody copies."""
        for claim in self._claims:
            claim.read_gaps()

    def faults(self) -> list[Fault]:
        """Return where the source contradicts its checksums, once all was noted."""
        return [fault for claim in self._claims for fault in claim.faults()]


def _passing(
    covered: FileRange, layout: Layout
) -> Iterator[tuple[FileRange, TensorData]]:
    """Yield what is copied as it is from a range; no byte of it is yielded twice."""
    copied = [
        (segment.tensor.source, segment)
        for file in layout.files
        for segment in file.segments
        if isinstance(segment, TensorData)
        and isinstance(segment.tensor.source, FileRange)
    ]
    position, stop = covered.offset, covered.offset + covered.nbytes
    for extent, data in sorted(copied, key=lambda each: each[0].offset):
        inside = position <= extent.offset and extent.offset + extent.nbytes <= stop
        if inside and extent.path == covered.path:
            yield extent, data
            position = extent.offset + extent.nbytes


def _gaps(covered: FileRange, parts: Sequence[FileRange]) -> Iterator[FileRange]:
    """Yield what of a range is in none of its parts, which are in order."""
    position = 0
    for part in parts:
        start = part.offset - covered.offset
        if position < start:
            yield covered.sliced(position, start)
        position = start + part.nbytes
    if position < covered.nbytes:
        yield covered.sliced(position, covered.nbytes)


def checksum_faults(stored: Sequence[StoredChecksum]) -> list[Fault]:
    """Return where a source contradicts its checksums; reads all that they cover."""
    witness = Witness.of(stored, Layout(()))
    witness.read_rest()
    return witness.faults()
