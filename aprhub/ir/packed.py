"""Tensors whose values only several stored parts together determine.

Codes, scales and zero points that lie in tensors of their own are no blocks of one
encoding, so rows of them cannot be moved as they are: what is left is to decode them.
"""

from collections.abc import Callable, Sequence

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.ir.computed import Packed
from aprhub.ir.encoding import F32, Encoding, opaque
from aprhub.ir.source import Bytes, Concatenation
from aprhub.ir.tensor import Tensor

Rows = Callable[[int, int], NDArray[np.float32]]
"""Takes the first row and the one after the last; returns them, `(count, columns)`."""


@frozen
class ComputedRows:
    """The f32 values of a matrix, computed `height` rows at a time, or a multiple."""

    rows: int
    columns: int
    compute: Rows = field(repr=False)
    height: int = 1

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


def packed(
    name: str, parts: Sequence[Tensor], values: ComputedRows, native: Encoding
) -> Tensor:
    """Return a matrix that is stored as parts, under an encoding of this name.

    Its bytes are those of the parts, one after the other. `native` is the float type in
    which its programs keep the values, and in which they are stored where the parts
    cannot be.
    """
    stored = Concatenation.of([part.source for part in parts])
    shape = values.rows, values.columns
    source = Packed(stored, Tensor(shape, F32, values), native)
    return Tensor(shape, opaque(name, stored.nbytes), source)
