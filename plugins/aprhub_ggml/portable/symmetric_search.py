"""Searches for the scale of codes around zero, in many blocks at a time.

The methods are those of `make_qx_quants` and `make_q3_quants` in ggml's ggml-quants.c.
Values and weights are `(elements, blocks)`.
"""

from typing import Final

import numpy as np
from attrs import frozen

from aprhub_ggml.portable.arithmetic import Values, ordered_sum, peak, rounded
from aprhub_ggml.portable.descent import Bounds, Sums, descend

EPSILON: Final = np.float32(1e-15)
"""Blocks whose values are all less than this are zero."""

_STEP: Final = np.float32(0.1)


@frozen
class Scaled:
    """Scales of the blocks, and the codes of their elements as whole f32.

    Codes go from 0 to 2·levels - 1 and `levels` stands for zero, but in a block of
    zeros all codes are 0.
    """

    scale: Values
    codes: Values


def search_scale(values: Values, weights: Values, levels: int) -> Scaled:
    """Return the scales that have the least squares among 19."""
    largest = peak(values)
    weighted = weights * values
    inverse = -np.float32(levels) / largest
    codes = rounded(inverse * values, -levels, levels - 1)
    products, squares = _sums(weights, weighted, codes)
    scale = np.where(squares == 0, np.float32(0), products / squares)
    best = scale * products
    for offset in (*range(-9, 0), *range(1, 10)):
        tried = -(np.float32(levels) + _STEP * np.float32(offset)) / largest
        codes = rounded(tried * values, -levels, levels - 1)
        products, squares = _sums(weights, weighted, codes)
        better = (squares > 0) & (products * products > best * squares)
        np.copyto(inverse, tried, where=better)
        np.copyto(scale, products / squares, where=better)
        np.copyto(best, scale * products, where=better)
    codes = rounded(inverse * values, -levels, levels - 1)
    return _from_zero(largest, scale, codes, levels)


def _sums(weights: Values, weighted: Values, codes: Values) -> tuple[Values, Values]:
    return ordered_sum(weighted * codes), ordered_sum(weights * codes * codes)


def _from_zero(largest: Values, scale: Values, codes: Values, levels: int) -> Scaled:
    codes += np.float32(levels)
    zero = np.abs(largest) < EPSILON
    scale[zero] = 0
    codes[:, zero] = 0
    return Scaled(scale, codes)


def refine_scale(values: Values, levels: int) -> Scaled:
    """Return scales of least squares after each code was moved on its own."""
    largest = peak(values)
    weights = values * values
    codes = rounded(-np.float32(levels) / largest * values, -levels, levels - 1)
    sums = Sums(*_sums(weights, weights * values, codes))
    descend(values, weights, codes, sums, Bounds(-levels, levels - 1))
    return _from_zero(largest, sums.scale(), codes, levels)
