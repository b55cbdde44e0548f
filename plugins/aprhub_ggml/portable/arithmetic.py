"""f32 arithmetic in the order of ggml's C loops, over many blocks at a time.

Arrays are `(elements, blocks)` unless said otherwise: a sum over the elements of a
block goes row by row, so that each partial sum is rounded as it is in C. No product is
fused with a sum.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Blocks = NDArray[np.uint8]

_ROUNDING: Final = np.float32(3 << 22)
_MANTISSA: Final = np.int32((1 << 23) - 1)
_ZERO: Final = np.int32(1 << 22)


def nearest_int(values: Values) -> NDArray[np.int32]:
    """Return the nearest integers, halves to even, as `nearest_int` of ggml-quants.c.

    What is too large for it, and what is no number, becomes the same wrong integer.
    """
    bits = (values + _ROUNDING).view(np.int32)
    bits &= _MANTISSA
    bits -= _ZERO
    return bits


def rounded(values: Values, low: int, high: int) -> Values:
    """Return the nearest integers from `low` to `high`, as f32."""
    whole = nearest_int(values)
    np.maximum(whole, np.int32(low), out=whole)
    np.minimum(whole, np.int32(high), out=whole)
    return whole.astype(np.float32)


def ordered_sum(terms: Values) -> Values:
    """Return the sums over the first axis, added one by one."""
    total = np.zeros(terms.shape[1:], np.float32)
    for term in terms:
        total += term
    return total


def at_first(values: Values, places: NDArray[np.intp]) -> Values:
    """Return the element of each block that is at its place."""
    found: Values = np.take_along_axis(values, places[None], axis=0)[0]
    return found


def peak(values: Values) -> Values:
    """Return each block's first value of the largest size, 0 if none is a number."""
    sizes = np.fmax(np.abs(values), np.float32(0))
    found = at_first(values, sizes.argmax(axis=0))
    return np.where(np.isnan(found), np.float32(0), found)


def inverse(values: Values) -> Values:
    """Return 1 / value, and 0 of 0."""
    return np.where(values == 0, np.float32(0), np.float32(1) / values)


def importance_weights(values: Values, importance: Values, factor: int) -> Values:
    """Return importance times √(factor · mean square + value²).

    The mean is over the last axis, which is a block's or a row's.
    """
    squares = values * values
    # A running sum adds one by one, where numpy's sum goes by pairs.
    total = np.add.accumulate(squares, axis=-1)[..., -1:]
    squares += np.float32(factor) * total / np.float32(values.shape[-1])
    weights: Values = importance * np.sqrt(squares)
    return weights
