"""Codes of a few bits each, packed into 32-bit words from the lowest bit on."""

import math

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Codes = NDArray[np.uint8]


def period(bits: int) -> tuple[int, int]:
    """Return the smallest number of words that whole codes fill, and of those codes."""
    common = math.gcd(32, bits)
    return bits // common, 32 // common


def word_count(codes: int, bits: int) -> int:
    """Return how many words a number of codes takes, the last one perhaps not full."""
    return -(-codes * bits // 32)


def unpacked(words: Words, bits: int) -> Codes:
    """Return the codes of words that are packed along dimension 0.

    The number of words is a multiple of the period.
    """
    count, codes = period(bits)
    grid = words.reshape(-1, count, words.shape[1])
    out = np.empty((len(grid), codes, words.shape[1]), np.uint8)
    for place in range(codes):
        word, shift = divmod(place * bits, 32)
        code = grid[:, word] >> np.uint32(shift)
        if shift + bits > 32:
            code |= grid[:, word + 1] << np.uint32(32 - shift)
        np.bitwise_and(code, (1 << bits) - 1, out=out[:, place], casting="unsafe")
    return out.reshape(-1, words.shape[1])
