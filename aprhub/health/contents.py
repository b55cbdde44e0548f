"""What the values of a tensor are like, told from their bits at the speed of memory.

`aprhub.statistics` gives means and extremes; here it only matters whether values are
numbers, and whether they are alive, which integers of the same bits tell faster.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.ir.source import Bytes


@frozen
class Bits:
    """A float type: that of its bits, and the bits of two of its values.

    `infinity` and `normal` are those of infinity and of the smallest normal number.
    """

    dtype: str
    infinity: int
    normal: int

    @property
    def magnitude(self) -> int:
        """All bits but the sign."""
        return (1 << 8 * np.dtype(self.dtype).itemsize - 1) - 1


BITS: Final[Mapping[str, Bits]] = {
    "f64": Bits("<u8", 0x7FF0 << 48, 1 << 52),
    "f32": Bits("<u4", 0x7F800000, 1 << 23),
    "bf16": Bits("<u2", 0x7F80, 1 << 7),
    "f16": Bits("<u2", 0x7C00, 1 << 10),
}
"""The float types that are read as they are; others are decoded to f32."""


@frozen
class Content:
    """Counts over some values of a tensor.

    `lost` is the index of the first value that is no finite number, or None; `low` and
    `high` are bits that are equal where all values are.
    """

    count: int = 0
    nans: int = 0
    infinities: int = 0
    zeros: int = 0
    denormals: int = 0
    lost: int | None = None
    low: int = (1 << 64) - 1
    high: int = 0

    def __add__(self, other: "Content") -> "Content":
        """Return the counts over both."""
        lost = [each for each in (self.lost, other.lost) if each is not None]
        return Content(
            self.count + other.count,
            self.nans + other.nans,
            self.infinities + other.infinities,
            self.zeros + other.zeros,
            self.denormals + other.denormals,
            min(lost, default=None),
            min(self.low, other.low),
            max(self.high, other.high),
        )

    @property
    def is_constant(self) -> bool:
        """Whether there are several values, and all of them the same."""
        return self.count > 1 and self.low == self.high

    @property
    def is_flooded(self) -> bool:
        """Whether most of the values that are not zero are denormal."""
        return 2 * self.denormals > self.count - self.zeros


def content(piece: Bytes, bits: Bits, first: int = 0) -> Content:
    """Return the counts over the values in some bytes; `first` is the first's index."""
    values = piece.view(bits.dtype)
    if not values.size:
        return Content()
    sizes = values & values.dtype.type(bits.magnitude)
    low, high = int(sizes.min()), int(sizes.max())
    zeros = 0 if low else values.size - int(np.count_nonzero(sizes))
    small = int(np.count_nonzero(sizes < bits.normal)) if low < bits.normal else 0
    nans, infinities, lost = _lost(sizes, bits) if high >= bits.infinity else _NONE
    if low == high:  # Signs may still differ.
        low, high = int(values.min()), int(values.max())
    return Content(
        values.size,
        nans,
        infinities,
        zeros,
        small - zeros,
        None if lost is None else first + lost,
        low,
        high,
    )


_NONE: Final = (0, 0, None)


def _lost(sizes: NDArray[Any], bits: Bits) -> tuple[int, int, int | None]:
    """Return the counts of NaNs and infinities, and where the first of them is."""
    infinities = int(np.count_nonzero(sizes == bits.infinity))
    gone = sizes >= bits.infinity
    return int(np.count_nonzero(gone)) - infinities, infinities, int(gone.argmax())
