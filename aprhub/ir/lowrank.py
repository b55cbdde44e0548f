"""Low-rank changes: what an adapter does to one weight, as an expression.

A weight becomes W + s B A, as in LoRA (arXiv 2106.09685); s is alpha / r, or
alpha / sqrt(r) where the change is rank-stabilised (arXiv 2312.03732). With a magnitude
m each row of that is brought to the length that m says, as in DoRA (arXiv 2402.09353);
for an embedding, PEFT does so with each column.
"""

import math
from threading import Lock
from typing import Any

import numpy as np
from attrs import Factory, define, frozen
from numpy.typing import NDArray

from aprhub.ir.encoding import F32
from aprhub.ir.joining import combined
from aprhub.ir.source import Bytes, FileRange, Source, read
from aprhub.ir.tensor import Tensor

BLOCK_BYTES = 1 << 20
"""How much of a weight is computed by one product of matrices.

It is the same whoever reads and how much, so that sums come out the same to the bit.
"""


def scale_of(alpha: float, rank: int, *, rank_stabilised: bool) -> float:
    """Return what the product of a pair is multiplied with."""
    return alpha / (math.sqrt(rank) if rank_stabilised else rank)


@frozen
class LowRank:
    """The change of one `(out, in)` weight: `a` is `(r, in)`, `b` is `(out, r)`.

    `magnitude` is that of DoRA: `(out)`, or with `by_columns` `(in)`. `bias` `(out)` is
    added, scaled like the product, to the bias of the same projection. Changes of
    experts that a layout stores as one are stacked: both matrices have one dimension
    more, in front.
    """

    a: Tensor
    b: Tensor
    alpha: float
    rank_stabilised: bool = False
    magnitude: Tensor | None = None
    bias: Tensor | None = None
    by_columns: bool = False

    @property
    def rank(self) -> int:
        """The rank that the matrices have, whatever a file says of it."""
        return self.a.shape[-2]

    @property
    def scale(self) -> float:
        """What the product is multiplied with."""
        return scale_of(self.alpha, self.rank, rank_stabilised=self.rank_stabilised)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the weight that this is a change of."""
        return self.b.shape[0], self.a.shape[1]


def updated(weight: Tensor, change: LowRank) -> Tensor:
    """Return the f32 values of a weight of the change's shape with the change made."""
    magnitude = change.magnitude.cast(F32).source if change.magnitude else None
    source = Updated(
        weight.cast(F32).source,
        change.a.cast(F32).source,
        change.b.cast(F32).source,
        None if change.by_columns else magnitude,
        change.shape[1],
        change.scale,
    )
    if change.by_columns and magnitude:
        lengthened = Lengthened(source, magnitude, change.shape[1])
        return Tensor(weight.shape, F32, lengthened)
    return Tensor(weight.shape, F32, source)


def shifted(bias: Tensor, change: LowRank) -> Tensor:
    """Return the f32 values of a bias with the scaled bias of the change added."""
    if change.bias is None:
        return bias
    scale = np.float32(change.scale)
    return combined(lambda one, other: one + scale * other, [bias, change.bias])


@frozen
class Updated:
    """The rows of a weight with a low-rank change, all of them f32.

    The small matrix `a` is read whole for each request, `b` row by row like the weight.
    """

    weight: Source
    a: Source
    b: Source
    magnitude: Source | None
    columns: int
    scale: float

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.weight.nbytes

    @property
    def granule(self) -> int:
        """The rows that are computed together."""
        return self._rows * self.columns * 4

    @property
    def _rows(self) -> int:
        return max(BLOCK_BYTES // max(self.columns * 4, 1), 1)

    def read_into(self, start: int, out: Bytes) -> None:
        """Compute block after block."""
        a = _values(self.a, 0, self.a.nbytes).reshape(-1, self.columns)
        for at in range(0, out.size, self.granule):
            piece = out[at : at + self.granule]
            piece[:] = self._block(start + at, piece.size, a).reshape(-1).view(np.uint8)

    def _block(
        self, start: int, nbytes: int, a: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        first, rows = start // (self.columns * 4), nbytes // (self.columns * 4)
        weight = _values(self.weight, start, nbytes).reshape(rows, self.columns)
        b = _values(self.b, first * 4 * a.shape[0], rows * 4 * a.shape[0])
        # What is too large becomes infinite, for those who read it to refuse.
        with np.errstate(all="ignore"):
            delta = b.reshape(rows, -1) @ a
            delta *= np.float32(self.scale)
            delta += weight
            if self.magnitude is not None:
                length = np.linalg.norm(delta, axis=1)
                wanted = _values(self.magnitude, first * 4, rows * 4)
                delta *= (wanted / length)[:, None]
        return delta

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: computed bytes are in no file."""
        return None


@define(eq=False)
class Lengthened:
    """A matrix whose columns are brought to given lengths, all of it f32.

    How long they are is measured once, when the first row is read.
    """

    whole: Source
    lengths: Source
    columns: int
    _factors: NDArray[np.float32] | None = None
    _lock: Lock = Factory(Lock)

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.whole.nbytes

    @property
    def granule(self) -> int:
        """That of the matrix, which is of whole rows."""
        return self.whole.granule

    def read_into(self, start: int, out: Bytes) -> None:
        """Read the rows and bring their columns to length."""
        with self._lock:
            if self._factors is None:
                self._factors = self._measured()
        self.whole.read_into(start, out)
        rows = out.view("<f4").reshape(-1, self.columns)
        rows *= self._factors

    def _measured(self) -> NDArray[np.float32]:
        squares = np.zeros(self.columns)
        for start in range(0, self.nbytes, self.granule):
            size = min(self.granule, self.nbytes - start)
            rows = _values(self.whole, start, size).reshape(-1, self.columns)
            squares += np.square(rows, dtype=np.float64).sum(axis=0)
        wanted = _values(self.lengths, 0, 4 * self.columns)
        factors: NDArray[np.float32] = (wanted / np.sqrt(squares)).astype(np.float32)
        return factors

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: computed bytes are in no file."""
        return None


def _values(source: Source, start: int, nbytes: int) -> NDArray[Any]:
    room = np.empty(nbytes, np.uint8)
    read(source, start, room)
    return room.view("<f4")
