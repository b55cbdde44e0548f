"""The search for the scale of a super-block's scales or minima, which are positive.

The method is that of `make_qp_quants` in ggml's ggml-quants.c. Values and weights are
`(elements, blocks)`.
"""

from typing import Final

import numpy as np

from aprhub_ggml.portable.arithmetic import Values, nearest_int, ordered_sum, rounded
from aprhub_ggml.portable.descent import Bounds, Sums, descend
from aprhub_ggml.portable.symmetric_search import EPSILON, Scaled

_STEP: Final = np.float32(0.1)
_LEAST: Final = -(1 << 22)
"""What `nearest_int` gives at least."""


def search_positive(values: Values, weights: Values, levels: int) -> Scaled:
    """Return scales of least squares, and codes from 0 to `levels`.

    Values below zero, which come of weights that are zero, have codes that wrap around.
    """
    peak = values.max(axis=0)
    inverse = _inverse(values, weights, peak, levels)
    codes = rounded(inverse * values, _LEAST, levels)
    products = ordered_sum(weights * values * codes)
    sums = Sums(products, ordered_sum(weights * codes * codes))
    bounds = Bounds(_LEAST, levels, unsigned=True)
    codes = bounds.kept(codes)
    descend(values, weights, codes, sums, bounds)
    none = ~(peak >= EPSILON)
    codes[:, none] = 0
    return Scaled(np.where(none, np.float32(0), sums.scale()), codes)


def _inverse(values: Values, weights: Values, peak: Values, levels: int) -> Values:
    """Return the one of nine inverse scales with the least error."""
    inverse = np.float32(levels) / peak
    codes = (nearest_int(inverse * values) & 0xFF).astype(np.float32)
    best = _error(values, weights, np.float32(1) / inverse * codes)
    for offset in (*range(-4, 0), *range(1, 5)):
        tried = (_STEP * np.float32(offset) + np.float32(levels)) / peak
        codes = rounded(tried * values, _LEAST, levels)
        error = _error(values, weights, np.float32(1) / tried * codes)
        better = error < best
        np.copyto(inverse, tried, where=better)
        np.copyto(best, error, where=better)
    return inverse


def _error(values: Values, weights: Values, found: Values) -> Values:
    difference = values - found
    return ordered_sum(weights * difference * difference)
