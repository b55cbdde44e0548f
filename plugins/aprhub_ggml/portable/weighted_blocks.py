"""Simple types with importance: q4_0, q4_1, q5_0 and q5_1.

What is sought is that of `quantize_row_q4_0_impl` and its like in ggml's ggml-quants.c;
the layouts are those of ggml-common.h. Weights are importance times what a value counts
by its own size, of the shape of the values.
"""

from typing import Final

import numpy as np

from aprhub_ggml.portable.arithmetic import Blocks, Values
from aprhub_ggml.portable.offset_search import Trials, search_offset
from aprhub_ggml.portable.packing import pack_flags, pack_nibbles
from aprhub_ggml.portable.parts import cut, half_bytes, joined
from aprhub_ggml.portable.symmetric_search import search_scale

_ELEMENTS: Final = 32
_FOUR_BITS: Final = Trials(15, -0.9, 0.05, 36)
_FIVE_BITS: Final = Trials(31, -0.9, 0.05, 36)


def encode_q4_0(values: Values, weights: Values) -> Blocks:
    """Return `(n, 32)` values as blocks."""
    header, codes = _symmetric(values, weights, 8)
    return np.concatenate([header, pack_nibbles(codes, 16)], axis=1)


def encode_q4_1(values: Values, weights: Values) -> Blocks:
    """Return `(n, 32)` values as blocks."""
    header, codes = _offset(values, weights, _FOUR_BITS)
    return np.concatenate([header, pack_nibbles(codes, 16)], axis=1)


def encode_q5_0(values: Values, weights: Values) -> Blocks:
    """Return `(n, 32)` values as blocks."""
    header, codes = _symmetric(values, weights, 16)
    high = pack_flags(codes > 15, 1)
    return np.concatenate([header, high, pack_nibbles(codes, 16)], axis=1)


def encode_q5_1(values: Values, weights: Values) -> Blocks:
    """Return `(n, 32)` values as blocks."""
    header, codes = _offset(values, weights, _FIVE_BITS)
    high = pack_flags(codes > 15, 1)
    return np.concatenate([header, high, pack_nibbles(codes, 16)], axis=1)


def _symmetric(values: Values, weights: Values, levels: int) -> tuple[Blocks, Blocks]:
    """Return the bytes of the scales, and the codes."""
    found = search_scale(cut(values, _ELEMENTS), cut(weights, _ELEMENTS), levels)
    return half_bytes(found.scale), joined(found.codes, _ELEMENTS)


def _offset(values: Values, weights: Values, trials: Trials) -> tuple[Blocks, Blocks]:
    """Return the bytes of the scales and minima, and the codes."""
    found = search_offset(cut(values, _ELEMENTS), cut(weights, _ELEMENTS), trials)
    halves = half_bytes(found.scale), half_bytes(found.minimum)
    return np.concatenate(halves, axis=1), joined(found.codes, _ELEMENTS)
