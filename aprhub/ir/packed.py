"""Tensors whose values only several stored parts together determine.

Codes, scales and zero points that lie in tensors of their own are no blocks of one
encoding, so rows of them cannot be moved as they are: what is left is to decode them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from aprhub.ir.computed import Packed
from aprhub.ir.encoding import F32, Encoding, opaque
from aprhub.ir.rows import Gather
from aprhub.ir.source import Bytes, Concatenation, Slice, Source
from aprhub.ir.tensor import Tensor

Rows = Callable[[int, int], NDArray[np.float32]]
"""Takes the first row and the one after the last; returns them, `(count, columns)`."""


@frozen
class ComputedRows:
    """The f32 values of a matrix, computed `height` rows at a time, or a multiple.

    `native` is the float type in which programs keep such values: that of the model.
    `parts` are what they are computed from.
    """

    rows: int
    columns: int
    compute: Rows = field(repr=False)
    height: int = 1
    native: Encoding = F32
    parts: tuple[Source, ...] = field(default=(), repr=False)

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return 4 * self.rows * self.columns

    @property
    def granule(self) -> int:
        """So many rows."""
        return 4 * self.columns * self.height

    def read_into(self, start: int, out: Bytes) -> None:
        """Compute the rows behind the request."""
        row = 4 * self.columns
        # Scales of a damaged file may be huge; what comes of them is infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            values = self.compute(start // row, (start + out.size) // row)
        out[:] = np.ascontiguousarray(values, "<f4").reshape(-1).view(np.uint8)

    def segments(self) -> None:
        """Return None: computed bytes are in no file."""


def packed(name: str, parts: Mapping[str, Tensor], values: ComputedRows) -> Tensor:
    """Return a matrix that is stored as parts, under an encoding of this name.

    Its bytes are those of the parts, one after the other; where those cannot be stored,
    the values are, in their native type. The parts are by what is in their stored name
    in place of `weight`.
    """
    sources = tuple(part.source for part in parts.values())
    stored = Concatenation.of(sources)
    shape = values.rows, values.columns
    whole = Tensor(shape, F32, evolve(values, parts=sources))
    return Tensor(shape, opaque(name, stored.nbytes), Packed(stored, whole, parts))


@frozen
class ComputedPart:
    """Rows of a part, computed from those of a weight, a bounded number at a time."""

    weight: Tensor = field(repr=False)
    row_bytes: int
    compute: Callable[[NDArray[np.float32]], NDArray[Any]] = field(repr=False)

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.weight.shape[0] * self.row_bytes

    @property
    def granule(self) -> int:
        """One row."""
        return self.row_bytes

    def read_into(self, start: int, out: Bytes) -> None:
        """Compute the rows behind the request."""
        columns, lines = self.weight.shape[1], out.reshape(-1, self.row_bytes)
        step, first = max(_PART_VALUES // columns, 1), start // self.row_bytes
        for low in range(0, len(lines), step):
            count = min(step, len(lines) - low)
            values = np.empty((count, columns), np.float32)
            place = 4 * columns * (first + low)
            self.weight.read_into(place, values.reshape(-1).view(np.uint8))
            rows = np.ascontiguousarray(self.compute(values))
            lines[low : low + count] = rows.view(np.uint8).reshape(count, -1)

    def segments(self) -> None:
        """Return None: computed bytes are in no file."""


_PART_VALUES: Final = 1 << 18
"""How many values of a weight a part is computed from at once; several workers do."""


def computed_part(
    weight: Tensor,
    columns: int,
    encoding: Encoding,
    compute: Callable[[NDArray[np.float32]], NDArray[Any]],
) -> Tensor:
    """Return a plain part of so many columns, computed from the rows of a weight.

    `compute` takes some rows as f32 and returns as many of the part.
    """
    source = ComputedPart(weight.cast(F32), encoding.nbytes((columns,)), compute)
    return Tensor((weight.shape[0], columns), encoding, source)


def native_of(source: Source) -> Encoding | None:
    """Return the native type of values that are all decoded from parts, else None."""
    match source:
        case ComputedRows():
            return source.native
        case Packed():
            return native_of(source.values.source)
        case Gather() | Slice():
            return native_of(source.parent)
        case Concatenation():
            natives = {native_of(part) for part in source.parts}
            return natives.pop() if len(natives) == 1 else None
    return None
