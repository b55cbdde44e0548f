"""Types whose codes are places in a table of levels: iq4_nl and iq4_xs.

What is sought is that of `quantize_row_iq4_nl_impl` in ggml's ggml-quants.c; levels and
layouts are those of ggml-common.h.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from aprhub_ggml.portable.arithmetic import (
    Blocks,
    Values,
    importance_weights,
    inverse,
    ordered_sum,
    peak,
    rounded,
)
from aprhub_ggml.portable.packing import bits, pack_nibbles, pack_twos
from aprhub_ggml.portable.parts import by_block, cut, half_bytes, joined
from aprhub_ggml.portable.symmetric_search import EPSILON

_LEVELS: Final = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113],
    np.float32,
)
_BORDERS: Final = _LEVELS[1:] + _LEVELS[:-1]
"""Twice the values from which on the next level is nearer."""

_FIRST: Final = _BORDERS[0] - 1
_PLACES: Final = np.searchsorted(
    _BORDERS, np.arange(_FIRST, _BORDERS[-1] + 1), side="right"
)
"""The level of each twice a value, rounded down, from `_FIRST`."""

_SIZE: Final = 32
_REACH: Final = 7


def encode_iq4_nl(values: Values, importance: Values | None = None) -> Blocks:
    """Return `(n, 32)` values as blocks."""
    parts = cut(values, _SIZE)
    scale = _search(parts, _weights(values, importance))
    codes = joined(_places(inverse(scale) * parts), _SIZE)
    return np.concatenate([half_bytes(scale), pack_nibbles(codes, 16)], axis=1)


def encode_iq4_xs(values: Values, importance: Values | None = None) -> Blocks:
    """Return `(n, 256)` values as blocks."""
    parts = cut(values, _SIZE)
    scales = by_block(_search(parts, _weights(values, importance)), len(values))
    scale = -peak(scales) / np.float32(32)
    packed = rounded(inverse(scale) * scales, -32, 31)
    # Codes are for a scale that is not rounded to f16, as in ggml.
    codes = _places(inverse(scale * packed).T.reshape(-1) * parts)
    stored = (packed + np.float32(32)).T.astype(np.uint8)
    high, low = pack_twos(bits(stored, 4), 1), pack_nibbles(stored, 1)
    elements = pack_nibbles(joined(codes, values.shape[1]), 16)
    return np.concatenate([half_bytes(scale), high, low, elements], axis=1)


def _weights(values: Values, importance: Values | None) -> Values:
    if importance is None:
        return cut(values * values, _SIZE)
    return cut(importance_weights(values, importance, 2), _SIZE)


def _search(parts: Values, weights: Values) -> Values:
    """Return the scales that have the least squares among 16."""
    largest = peak(parts)
    first = np.float32(1) / (-largest / _LEVELS[0])
    products, squares = _sums(first, parts, weights)
    scale = np.where(squares > 0, products / squares, np.float32(0))
    best = scale * products
    for offset in range(-_REACH, _REACH + 1):
        tried = (np.float32(offset) + _LEVELS[0]) / largest
        products, squares = _sums(tried, parts, weights)
        better = (squares > 0) & (products * products > best * squares)
        np.copyto(scale, products / squares, where=better)
        np.copyto(best, scale * products, where=better)
    scale[np.abs(largest) < EPSILON] = 0
    return scale


def _sums(scale: Values, parts: Values, weights: Values) -> tuple[Values, Values]:
    levels = _LEVELS.take(_places(scale * parts))
    weighted = weights * levels
    return ordered_sum(weighted * parts), ordered_sum(weighted * levels)


def _places(values: Values) -> NDArray[np.intp]:
    """Return the places of the nearest levels, of two the upper."""
    doubled = np.floor(values + values)
    within = np.fmax(np.fmin(doubled, _BORDERS[-1]), _FIRST)
    places: NDArray[np.intp] = _PLACES.take((within - _FIRST).astype(np.intp))
    return places
