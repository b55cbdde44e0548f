"""Sources that compute: maps, transpositions, columns, combinations, packed parts.

All of them work in pieces of bounded size and keep nothing.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.ir.encoding import Encoding
from aprhub.ir.source import Bytes, FileRange, Source, read

if TYPE_CHECKING:
    from aprhub.ir.tensor import Tensor

Kernel = Callable[[Bytes, Bytes], NDArray[Any]]
"""Takes packed bytes and the header before them; returns an array of values."""

PIECE_BYTES = 1 << 23
"""How much of a tensor is computed at a time."""


@frozen
class Operation:
    """What an elementwise map does, in words that can be compared and undone."""

    name: str
    offset: float = 0.0


@frozen
class Mapped:
    """Each unit of the origin's bytes turned into one unit of other bytes."""

    origin: "Tensor" = field(repr=False)
    operation: Operation
    kernel: Kernel = field(repr=False)
    nbytes: int
    unit_in: int
    unit_out: int

    @classmethod
    def of(
        cls,
        origin: "Tensor",
        operation: Operation,
        kernel: Kernel,
        target: Encoding,
        whole: int = 1,
    ) -> "Mapped":
        """Return a map whose values are in another encoding, without padding.

        A unit is a block of either, or a row where rows are padded to whole blocks, or
        what the origin can be read by, whichever is largest; it is a multiple of
        `whole` elements.
        """
        unit_in, elements = _unit(origin)
        times = math.lcm(unit_in, origin.source.granule) // unit_in
        together = math.lcm(target.block_elements, whole)
        times *= together // math.gcd(elements * times, together)
        blocks = elements * times // target.block_elements
        return cls(
            origin,
            operation,
            kernel,
            target.nbytes(origin.shape),
            unit_in * times,
            blocks * target.block_bytes,
        )

    @property
    def granule(self) -> int:
        """One unit."""
        return self.unit_out

    def read_into(self, start: int, out: Bytes) -> None:
        """Read the units behind the request and map them."""
        source, head = self.origin.source, self.origin.encoding.header_bytes
        first = start // self.unit_out * self.unit_in + head
        count = -(-out.size // self.unit_out) * self.unit_in
        packed = np.empty(min(count, source.nbytes - first), np.uint8)
        read(source, first, packed)
        header = np.empty(head, np.uint8)
        read(source, 0, header)
        values = self.kernel(packed, header)
        out[:] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)[: out.size]

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: computed bytes are in no file."""
        return None


def _unit(origin: "Tensor") -> tuple[int, int]:
    """Return the bytes and elements of the smallest part that maps on its own."""
    encoding = origin.encoding
    columns = origin.shape[-1] if origin.shape else 1
    if encoding.fits(columns):
        return encoding.block_bytes, encoding.block_elements
    return encoding.row_bytes(columns), columns


@frozen
class Transposed:
    """The columns of a matrix of plain elements, as rows."""

    parent: Source
    rows: int
    columns: int
    item_bytes: int

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.parent.nbytes

    @property
    def granule(self) -> int:
        """One row of the result, which is one column of the parent."""
        return self.rows * self.item_bytes

    def read_into(self, start: int, out: Bytes) -> None:
        """Read the parent in bounded pieces and pick the wanted columns."""
        first = start // self.granule
        wanted = slice(first, first + out.size // self.granule)
        result = out.reshape(-1, self.rows, self.item_bytes)
        width = self.columns * self.item_bytes
        step = max(PIECE_BYTES // max(width, 1), 1)
        for row in range(0, self.rows, step):
            count = min(step, self.rows - row)
            piece = np.empty(count * width, np.uint8)
            read(self.parent, row * width, piece)
            grid = piece.reshape(count, self.columns, self.item_bytes)
            result[:, row : row + count] = grid[:, wanted].transpose(1, 0, 2)

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: transposed bytes are in no file."""
        return None


@frozen
class Strided:
    """Every `step`-th column, from `first` on, of a matrix of plain elements."""

    parent: Source
    rows: int
    columns: int
    item_bytes: int
    first: int
    step: int

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.rows * self.granule

    @property
    def granule(self) -> int:
        """One row."""
        return len(range(self.first, self.columns, self.step)) * self.item_bytes

    def read_into(self, start: int, out: Bytes) -> None:
        """Read whole rows of the parent, some at a time, and pick the columns."""
        width = self.columns * self.item_bytes
        wanted = out.reshape(-1, self.granule // self.item_bytes, self.item_bytes)
        step = max(PIECE_BYTES // width, 1)
        for row in range(0, len(wanted), step):
            picked = wanted[row : row + step]
            piece = np.empty(len(picked) * width, np.uint8)
            read(self.parent, (start // self.granule + row) * width, piece)
            grid = piece.reshape(-1, self.columns, self.item_bytes)
            picked[:] = grid[:, self.first :: self.step]

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: parts of rows are in no range of a file."""
        return None


@frozen
class Combined:
    """Several f32 sources of one size, combined element by element."""

    parts: tuple[Source, ...]
    function: Callable[..., NDArray[np.float32]] = field(repr=False)

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.parts[0].nbytes

    @property
    def granule(self) -> int:
        """What all parts can be read by."""
        return math.lcm(4, *(part.granule for part in self.parts))

    def read_into(self, start: int, out: Bytes) -> None:
        """Read the same piece of every part and combine them."""
        pieces = [np.empty(out.size, np.uint8) for _ in self.parts]
        for part, piece in zip(self.parts, pieces, strict=True):
            read(part, start, piece)
        values = self.function(*(piece.view("<f4") for piece in pieces))
        out[:] = np.ascontiguousarray(values, "<f4").view(np.uint8)

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: computed bytes are in no file."""
        return None


@frozen
class Packed:
    """Stored parts one after the other, and the `values` that they mean together.

    `parts` are the same by name, as a file has them.
    """

    stored: Source
    values: "Tensor" = field(repr=False)
    parts: Mapping[str, "Tensor"] = field(eq=False, repr=False)

    @property
    def nbytes(self) -> int:
        """How many bytes the parts take."""
        return self.stored.nbytes

    @property
    def granule(self) -> int:
        """That of the parts."""
        return self.stored.granule

    def read_into(self, start: int, out: Bytes) -> None:
        """Read the parts as they are stored."""
        self.stored.read_into(start, out)

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return the ranges of the parts."""
        return self.stored.segments()
