"""Bounds: how far values may be off that some encoder has put into blocks.

Every encoder is free in its choice of scales, and searches for those of the least
error. So the bound is on the root mean square of a tensor's errors: no more than the
worst error of a plain encoder, which follows from the layout of a block
(`ggml-common.h`, `quantize_row_*_ref` in `ggml-quants.c` of llama.cpp; the APR v2
specification, 3.2 and 3.3). That is half a step between levels, or a whole one where
the levels do not reach as far up as down, and what rounding a block's own scales adds.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

import numpy as np
from attrs import frozen

from aprhub.ir.encoding import Encoding
from aprhub.ir.tensor import Tensor
from aprhub.pairs import Values, paired_values

LARGEST: Final = "largest magnitude"
SPAN: Final = "span of the values and zero"
POWER: Final = "root mean square"
WHOLE: Final = "largest magnitude of the tensor"
"""What of a block, or of the tensor, a worst error is a share of."""

_ROUNDED: Final = Fraction(1, 2**11)
_SUBNORMAL: Final = Fraction(1, 2**25)
"""What an f16 may be off by, which every scale is, or better: relative and absolute."""


@frozen
class Bound:
    """The worst error of a plain encoder, as a share of the reach of a block.

    `multiple` is how many times the scale of the block its largest value may be: so
    many times the error of a scale that is almost too small for an f16 counts.
    """

    share: Fraction
    multiple: int = 0
    reach: str = LARGEST

    def allowed(self, reach: float) -> float:
        """Return the largest root mean square of errors for that of the reach."""
        tiny = float(self.multiple * _SUBNORMAL)
        return float(self.share + _ROUNDED) * reach + tiny


def _span(levels: int, scales: int | None = None) -> Bound:
    """Bound blocks of a minimum and so many steps above it.

    Scales and minima of parts are whole numbers up to `scales`: half of one may be
    missing from either.
    """
    parts = Fraction(1, scales) if scales else Fraction(0)
    multiple = (scales or 1) * (levels + 1)
    return Bound(Fraction(1, 2 * levels) + parts, multiple, SPAN)


BOUNDS: Final[Mapping[str, Bound]] = {
    # -8 … 7 steps: what is as large as the largest, but of its other sign, is cut.
    "q4_0": Bound(Fraction(1, 8), 8),
    "q5_0": Bound(Fraction(1, 16), 16),
    "q4_1": _span(15),
    "q5_1": _span(31),
    "q8_0": Bound(Fraction(1, 254), 127),
    "q8_1": Bound(Fraction(1, 254), 127),
    "q2_k": _span(3, 15),
    "q4_k": _span(15, 63),
    "q5_k": _span(31, 63),
    # As q4_0, with 6 and 8 bits, one for the sign, for the scale of each 16 values.
    "q3_k": Bound(Fraction(1, 4) + Fraction(1, 64), 4 * 32),
    "q6_k": Bound(Fraction(1, 32) + Fraction(1, 256), 32 * 128),
    # Levels from -127 to 113, 24 apart at most.
    "iq4_nl": Bound(Fraction(14, 127), 127),
    "iq4_xs": Bound(Fraction(14, 127) + Fraction(1, 64), 127 * 32),
    # 0 … 4 and 6 times a power of two, of which the largest magnitude is 4 to 8.
    "mxfp4": Bound(Fraction(1, 4)),
    # The same, 6 being the largest magnitude, with scales of 3 bits, 2^-9 the least.
    "nvfp4": Bound(Fraction(1, 6) + Fraction(1, 16), 6 * 2**15),
    # As q4_0; scales below the normal numbers of an f16 are zero.
    "apr_q4": Bound(Fraction(1, 8), 8 * 2**11),
    "apr_q8": Bound(Fraction(1, 254), reach=WHOLE),
    # -1, 0 and 1 times the largest magnitude: the nearest is no worse than zero.
    "tq1_0": Bound(Fraction(1), 1, POWER),
    "tq2_0": Bound(Fraction(1), 1, POWER),
    # One or two bits, books of vectors: no worse than zeros, unless most of the values
    # are zero.
    **dict.fromkeys(
        (
            *("q1_0", "q2_0", "iq1_s", "iq1_m"),
            *("iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s"),
        ),
        Bound(Fraction(1), reach=POWER),
    ),
}
"""The bound of each block type, by the name of its encoding."""


@frozen
class Deviation:
    """The root mean square of a tensor's errors, and what it may be."""

    error: float
    allowed: float

    @property
    def is_within(self) -> bool:
        """Whether the error is within the bound; one that is no number is not."""
        return self.error <= self.allowed

    def __str__(self) -> str:
        """Return both as people read them."""
        return f"{self.error:.3g} off on average, {self.allowed:.3g} allowed"


def deviation(source: Tensor, found: Tensor, limit: int | None = None) -> Deviation:
    """Measure how far a quantised tensor is from what it was made from.

    With a `limit`, only the first so many bytes of f32 values count. A type without a
    bound allows no error.
    """
    bound = BOUNDS.get(found.encoding.name)
    count, errors, reached, largest = 0, 0.0, 0.0, 0.0
    for left, right in paired_values(source, found, limit):
        with np.errstate(invalid="ignore", over="ignore"):
            gaps = right.astype(np.float64) - left
        errors += float(gaps @ gaps)
        count += left.size
        largest = max(largest, float(np.abs(left).max(initial=0.0)))
        reached += _reach(left, found.encoding, bound) if bound else 0.0
    if bound is None or not count:
        return Deviation(math.sqrt(errors), 0.0)
    whole = bound.reach == WHOLE
    reach = largest if whole else math.sqrt(reached / count)
    return Deviation(math.sqrt(errors / count), bound.allowed(reach))


def _reach(values: Values, encoding: Encoding, bound: Bound) -> float:
    """Return the squared reach of the block of each value, in sum."""
    if bound.reach in (WHOLE, POWER):
        exact = values.astype(np.float64)
        return float(exact @ exact)
    size = encoding.block_elements
    rest = -values.size % size
    blocks = np.pad(values, (0, rest)).reshape(-1, size)
    high = np.maximum(blocks.max(axis=1), 0).astype(np.float64)
    low = np.minimum(blocks.min(axis=1), 0).astype(np.float64)
    reach = high - low if bound.reach == SPAN else np.maximum(high, -low)
    return float(size * (reach @ reach))
