"""K types with scales only: q3_k and q6_k.

What is sought is that of `quantize_row_q3_K_ref` and its like in ggml's ggml-quants.c,
with importance of `quantize_row_q3_K_impl`; the layouts are those of ggml-common.h.
"""

from typing import Final

import numpy as np

from aprhub_ggml.portable.arithmetic import (
    Blocks,
    Values,
    importance_weights,
    nearest_int,
    ordered_sum,
    peak,
    rounded,
)
from aprhub_ggml.portable.packing import (
    bits,
    pack_flags,
    pack_nibbles,
    pack_sixteen_scales,
    pack_twos,
)
from aprhub_ggml.portable.parts import as_half, by_block, cut, half_bytes, joined
from aprhub_ggml.portable.symmetric_search import (
    EPSILON,
    Scaled,
    refine_scale,
    search_scale,
)

_ELEMENTS: Final = 256
_SIZE: Final = 16


def encode_q3_k(values: Values, importance: Values | None = None) -> Blocks:
    """Return `(n, 256)` values as blocks."""
    parts = cut(values, _SIZE)
    if importance is None:
        fit = refine_scale(parts, 4)
        scales = _by_largest(by_block(fit.scale, len(values)))
    else:
        weights = cut(importance_weights(values, importance, 2), _SIZE)
        fit = search_scale(parts, weights, 4)
        sums = by_block(ordered_sum(weights), len(values))
        scales = search_scale(by_block(fit.scale, len(values)), sums, 32)
    read = as_half(scales.scale) * (scales.codes - np.float32(32))
    codes = _codes(parts, fit, read, 4)
    high, low = pack_flags(codes > 3, 32), pack_twos(codes, 32)
    packed = pack_sixteen_scales(scales.codes.T.astype(np.uint8))
    return np.concatenate([high, low, packed, half_bytes(scales.scale)], axis=1)


def _by_largest(scales: Values) -> Scaled:
    """Return `(parts, n)` scales as codes, of which 0 is the largest."""
    largest = peak(scales)
    inverse = np.float32(-32) / largest
    codes = rounded(inverse * scales, -32, 31) + np.float32(32)
    zero = largest == 0
    codes[:, zero] = 0
    return Scaled(np.where(zero, np.float32(0), np.float32(1) / inverse), codes)


def encode_q6_k(values: Values, importance: Values | None = None) -> Blocks:
    """Return `(n, 256)` values as blocks; those of zeros are bytes of zeros."""
    parts = cut(values, _SIZE)
    weights = parts * parts if importance is None else cut(importance, _SIZE)
    fit = search_scale(parts, weights, 32)
    scales = by_block(fit.scale, len(values))
    largest = peak(scales)
    inverse = np.float32(-128) / largest
    packed = np.minimum(nearest_int(inverse * scales), 127).astype(np.int8)
    scale = np.float32(1) / inverse
    codes = _codes(parts, fit, as_half(scale) * packed.astype(np.float32), 32)
    low, high = pack_nibbles(codes, 64), pack_twos(bits(codes, 4), 32)
    scales_bytes = packed.T.astype(np.uint8)
    blocks = np.concatenate([low, high, scales_bytes, half_bytes(scale)], axis=1)
    blocks[np.abs(largest) < EPSILON] = 0
    return blocks


def _codes(parts: Values, fit: Scaled, scales: Values, levels: int) -> Blocks:
    """Return the elements' codes for `(parts, n)` scales as they are read again."""
    scale = scales.T.reshape(-1)
    codes = rounded(parts / scale, -levels, levels - 1) + np.float32(levels)
    np.copyto(codes, fit.codes, where=scale == 0)
    return joined(codes, _ELEMENTS)
