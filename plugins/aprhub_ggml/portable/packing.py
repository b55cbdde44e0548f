"""Codes of a block's elements → the bytes that hold them, as in ggml-common.h.

Codes are `(n, elements)`; those that share a byte lie `apart` elements from each other.
"""

import numpy as np
from numpy.typing import NDArray

from aprhub_ggml.portable.arithmetic import Blocks


def bits(codes: Blocks, first: int, count: int = 8) -> Blocks:
    """Return `count` bits of each code, from the `first` one on."""
    return codes >> np.uint8(first) & np.uint8((1 << count) - 1)


def paired(low: Blocks, high: Blocks) -> Blocks:
    """Return bytes of a low and a high nibble."""
    return low | high << np.uint8(4)


def pack_nibbles(codes: Blocks, apart: int) -> Blocks:
    """Return the four low bits of codes, two to a byte."""
    pairs = bits(codes, 0, 4).reshape(len(codes), -1, 2, apart)
    return paired(pairs[:, :, 0], pairs[:, :, 1]).reshape(len(codes), -1)


def pack_twos(codes: Blocks, apart: int) -> Blocks:
    """Return the two low bits of codes, four to a byte."""
    fours = bits(codes, 0, 2).reshape(len(codes), -1, 4, apart)
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    packed: Blocks = np.bitwise_or.reduce(fours << shifts, axis=2)
    return packed.reshape(len(codes), -1)


def pack_flags(flags: NDArray[np.bool_], apart: int) -> Blocks:
    """Return one bit for each element, eight to a byte."""
    eights = flags.reshape(len(flags), -1, 8, apart)
    return np.packbits(eights, axis=2, bitorder="little").reshape(len(flags), -1)


def pack_sixteen_scales(scales: Blocks) -> Blocks:
    """Return 16 scales of 6 bits, `(n, 16)`, as 12 bytes a block."""
    low, high = pack_nibbles(scales, 8), pack_twos(bits(scales, 4), 4)
    return np.concatenate([low, high], axis=1)


def pack_eight_pairs(scales: Blocks, minima: Blocks) -> Blocks:
    """Return 8 scales and 8 minima of 6 bits, `(n, 8)` each, as 12 bytes a block."""
    # The high bits of the last four are above the first four.
    first = scales[:, :4] | bits(scales[:, 4:], 4) << 6
    second = minima[:, :4] | bits(minima[:, 4:], 4) << 6
    last = paired(bits(scales[:, 4:], 0, 4), minima[:, 4:])
    return np.concatenate([first, second, last], axis=1)


def unpack_eight_pairs(packed: Blocks) -> tuple[Blocks, Blocks]:
    """Return the scales and minima that `pack_eight_pairs` packed."""
    first, second, last = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = bits(first, 0, 6), paired(bits(last, 0, 4), bits(first, 6))
    minima = bits(second, 0, 6), paired(bits(last, 4), bits(second, 6))
    return np.concatenate(scales, axis=1), np.concatenate(minima, axis=1)
