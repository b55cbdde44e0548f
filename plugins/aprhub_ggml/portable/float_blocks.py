"""Blocks of four-bit floats: nvfp4.

The method is that of `quantize_row_nvfp4_ref` in ggml's ggml-quants.c; the layout is
that of ggml-common.h.
"""

from typing import Final

import numpy as np

from aprhub_ggml.portable.arithmetic import Blocks, Values
from aprhub_ggml.portable.packing import pack_nibbles
from aprhub_ggml.portable.parts import cut, joined

_SIZE: Final = 16
_SIZES: Final = np.array([0, 1, 2, 3, 4, 6, 8, 12], np.float32)
"""Twice what the three low bits of an e2m1 code stand for."""

_STEPS: Final = np.arange(119)
_SCALES: Final = np.concatenate(
    [np.arange(8) / 1024, np.ldexp(1 + _STEPS % 8 / 8, _STEPS // 8 - 7)]
).astype(np.float32)
"""Half of what e4m3 codes up to the largest, 0x7e, stand for."""


def encode_nvfp4(values: Values, importance: Values | None = None) -> Blocks:
    """Return `(n, 64)` values as blocks; importance does not count."""
    parts = cut(values, _SIZE)
    sizes = np.abs(parts)
    scales = _scale_codes(sizes.max(axis=0) / np.float32(6))
    codes = _size_codes(sizes, _SCALES[scales])
    codes |= ((parts < 0) & (codes > 0)).astype(np.uint8) << 3
    elements = pack_nibbles(joined(codes, _SIZE), 8).reshape(len(values), -1)
    return np.concatenate([scales.reshape(len(values), -1), elements], axis=1)


def _scale_codes(scales: Values) -> Blocks:
    """Return e4m3 codes; halves go up, and from 256 all have the largest."""
    bits = scales.view(np.int32)
    normal = (bits + (1 << 19) >> 20) - (120 << 3)
    normal = np.where(normal >= 15 << 3, 0x7E, normal)
    small = np.minimum(scales * np.float32(512) + np.float32(0.5), np.float32(7))
    codes = np.where(scales < np.float32(2**-6), small.astype(np.int32), normal)
    return codes.astype(np.uint8)


def _size_codes(sizes: Values, scales: Values) -> Blocks:
    """Return the codes of the nearest sizes, of two the lower."""
    codes = np.zeros(sizes.shape, np.uint8)
    best = sizes.copy()
    for code, size in enumerate(_SIZES[1:], 1):
        error = np.abs(size * scales - sizes)
        better = error < best
        codes[better] = code
        np.copyto(best, error, where=better)
    return codes
