"""K types with scales and minima: q2_k, q4_k and q5_k.

What is sought is that of `quantize_row_q2_K_ref` and its like in ggml's ggml-quants.c,
with importance of `quantize_row_q2_K_impl`; the layouts are those of ggml-common.h.
"""

from typing import Final

import numpy as np
from attrs import frozen

from aprhub_ggml.portable.arithmetic import (
    Blocks,
    Values,
    importance_weights,
    nearest_int,
    ordered_sum,
    rounded,
)
from aprhub_ggml.portable.offset_search import Offset, Trials, search_offset
from aprhub_ggml.portable.packing import (
    bits,
    pack_eight_pairs,
    pack_flags,
    pack_nibbles,
    pack_twos,
    paired,
    unpack_eight_pairs,
)
from aprhub_ggml.portable.parts import as_half, by_block, cut, half_bytes, joined
from aprhub_ggml.portable.positive_search import search_positive

_ELEMENTS: Final = 256


@frozen
class _Kind:
    """The elements of a part, what is tried, and how far the codes of scales go.

    `factor` is how often importance takes the mean square.
    """

    size: int
    plain: Trials
    weighted: Trials
    scale_levels: int
    factor: int = 2


_Q2_K: Final = _Kind(
    16, Trials(3, -0.5, 0.1, 15, absolute=True), Trials(3, -0.9, 0.05, 36), 15, 1
)
_Q4_K: Final = _Kind(32, Trials(15, -1.0, 0.1, 20), Trials(15, -0.9, 0.05, 36), 63)
_Q5_K: Final = _Kind(32, Trials(31, -0.5, 0.1, 15), Trials(31, -0.9, 0.05, 36), 63)


@frozen
class _Scales:
    """A scale for each of `n` blocks and `(n, parts)` codes of the parts' scales."""

    scale: Values
    codes: Blocks


@frozen
class _Found:
    """What was found of the parts, and the scales and minima to be stored."""

    parts: Values
    fit: Offset
    scales: _Scales
    minima: _Scales
    levels: int

    def header(self) -> Blocks:
        """Return the two numbers of each block."""
        halves = half_bytes(self.scales.scale), half_bytes(self.minima.scale)
        return np.concatenate(halves, axis=1)

    def codes(self, scales: Blocks, minima: Blocks) -> Blocks:
        """Return the elements' codes for scales and minima as they are read again."""
        scale = _read(self.scales, scales)
        shifted = self.parts + _read(self.minima, minima)
        codes = rounded(shifted / scale, 0, self.levels)
        np.copyto(codes, self.fit.codes, where=scale == 0)
        return joined(codes, _ELEMENTS)


def _read(scales: _Scales, codes: Blocks) -> Values:
    return (as_half(scales.scale)[:, None] * codes.astype(np.float32)).reshape(-1)


def encode_q2_k(values: Values, importance: Values | None = None) -> Blocks:
    """Return `(n, 256)` values as blocks."""
    found = _search(_Q2_K, values, importance)
    packed = paired(found.scales.codes, found.minima.codes)
    codes = found.codes(bits(packed, 0, 4), bits(packed, 4))
    return np.concatenate([packed, pack_twos(codes, 32), found.header()], axis=1)


def encode_q4_k(values: Values, importance: Values | None = None) -> Blocks:
    """Return `(n, 256)` values as blocks."""
    found = _search(_Q4_K, values, importance)
    packed = pack_eight_pairs(found.scales.codes, found.minima.codes)
    codes = found.codes(*unpack_eight_pairs(packed))
    return np.concatenate([found.header(), packed, pack_nibbles(codes, 32)], axis=1)


def encode_q5_k(values: Values, importance: Values | None = None) -> Blocks:
    """Return `(n, 256)` values as blocks."""
    found = _search(_Q5_K, values, importance)
    # ggml caps these codes, but lets those of q4_k wrap around below zero.
    scales = np.minimum(found.scales.codes, 63), np.minimum(found.minima.codes, 63)
    packed = pack_eight_pairs(*scales)
    codes = found.codes(*unpack_eight_pairs(packed))
    high = pack_flags(codes > 15, 32)
    low = pack_nibbles(codes, 32)
    return np.concatenate([found.header(), packed, high, low], axis=1)


def _search(kind: _Kind, values: Values, importance: Values | None) -> _Found:
    parts = cut(values, kind.size)
    if importance is None:
        trials, weights, sums = kind.plain, _own_weights(kind, parts), None
    else:
        trials = kind.weighted
        weights = cut(importance_weights(values, importance, kind.factor), kind.size)
        sums = by_block(ordered_sum(weights), len(values))
    fit = search_offset(parts, weights, trials)
    scales = by_block(fit.scale, len(values))
    minima = -by_block(fit.minimum, len(values))
    levels = kind.scale_levels
    return _Found(
        parts,
        fit,
        _quantise(scales, sums, levels),
        _quantise(minima, sums, levels),
        trials.levels,
    )


def _own_weights(kind: _Kind, parts: Values) -> Values:
    """Return how much elements count by their own size."""
    sizes = np.abs(parts)
    if kind.plain.absolute:
        return sizes
    squares = ordered_sum(parts * parts) / np.float32(kind.size)
    weights: Values = np.sqrt(squares) + sizes
    return weights


def _quantise(values: Values, weights: Values | None, levels: int) -> _Scales:
    """Return `(parts, n)` scales as codes: those of the largest without weights."""
    if weights is not None:
        found = search_positive(values, weights, levels)
        return _Scales(found.scale, found.codes.T.astype(np.uint8))
    largest = np.fmax.reduce(values, axis=0)
    some = largest > 0
    inverse = np.where(some, np.float32(levels) / largest, np.float32(0))
    scale = np.where(some, largest / np.float32(levels), np.float32(0))
    return _Scales(scale, nearest_int(inverse * values).T.astype(np.uint8))
