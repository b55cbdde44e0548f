"""Decoders that numba compiles, of types whose loops in ggml are slow.

Each fills `values` from blocks as they are stored, and is given what it looks up:
`halves` are all f16 as f32. Of those in a block, `d` is the scale, `dmin` and `m` are
offsets. Products and sums are rounded one by one to f32, in ggml's order. The layouts
are those of `ggml/src/ggml-common.h`.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba
import numpy as np
from gguf import quants
from numpy.typing import NDArray

Blocks = NDArray[np.uint8]
Floats = NDArray[np.float32]

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

_BITS: Final = np.unpackbits(
    np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"
)
_SIGNS: Final = np.where(_BITS, np.float32(-1), np.float32(1))
"""For each byte eight times 1 or, where a bit is set, -1; `(256, 8)`."""
_KNOWN_SIGNS: Final = _SIGNS[np.frombuffer(quants.IQ2_XXS.ksigns, np.uint8)]
"""The same for numbers of seven bits: an even count is minus; `(128, 8)`."""

_HALF: Final = np.float32(0.5)
_QUARTER: Final = np.float32(0.25)


def _compiled(loop: _Loop) -> _Loop:
    """Return what is compiled when it is first called, and lets other threads run."""
    compiled: _Loop = numba.njit(nogil=True)(loop)
    return compiled


@_compiled
def q6_k(blocks: Blocks, halves: Floats, values: Floats) -> None:
    """Decode 128 bytes of low halves, 64 of high pairs and 16 scales, twice alike.

    A byte of high pairs belongs to four values, which are 32 apart; 16 bytes in a row
    share their four scales.
    """
    for n in range(len(blocks)):
        block, row = blocks[n], values[n]
        d = _half(block, 208, halves)
        for group in range(4):
            half, run = group // 2, group % 2
            low, high = 64 * half + 16 * run, 128 + 32 * half + 16 * run
            start, first = 128 * half + 16 * run, 192 + 8 * half + run
            scale_0 = d * np.float32(np.int8(block[first]))
            scale_1 = d * np.float32(np.int8(block[first + 2]))
            scale_2 = d * np.float32(np.int8(block[first + 4]))
            scale_3 = d * np.float32(np.int8(block[first + 6]))
            for i in range(16):
                near, far = np.int32(block[low + i]), np.int32(block[low + 32 + i])
                pairs = np.int32(block[high + i])
                code = near & 15 | (pairs & 3) << 4
                row[start + i] = scale_0 * np.float32(code - 32)
                code = far & 15 | (pairs >> 2 & 3) << 4
                row[start + 32 + i] = scale_1 * np.float32(code - 32)
                code = near >> 4 | (pairs >> 4 & 3) << 4
                row[start + 64 + i] = scale_2 * np.float32(code - 32)
                code = far >> 4 | (pairs >> 6 & 3) << 4
                row[start + 96 + i] = scale_3 * np.float32(code - 32)


@_compiled
def q2_k(blocks: Blocks, halves: Floats, values: Floats) -> None:
    """Decode 16 bytes of scale and offset, and 64 of pairs, twice alike."""
    for n in range(len(blocks)):
        block, row = blocks[n], values[n]
        d, dmin = _half(block, 80, halves), _half(block, 82, halves)
        for group in range(4):
            half, run = group // 2, group % 2
            pairs, start, first = 16 + 16 * group, 128 * half + 16 * run, 8 * half + run
            scale_0 = d * np.float32(block[first] & 15)
            scale_1 = d * np.float32(block[first + 2] & 15)
            scale_2 = d * np.float32(block[first + 4] & 15)
            scale_3 = d * np.float32(block[first + 6] & 15)
            offset_0 = dmin * np.float32(block[first] >> 4)
            offset_1 = dmin * np.float32(block[first + 2] >> 4)
            offset_2 = dmin * np.float32(block[first + 4] >> 4)
            offset_3 = dmin * np.float32(block[first + 6] >> 4)
            for i in range(16):
                code = np.int32(block[pairs + i])
                row[start + i] = scale_0 * np.float32(code & 3) - offset_0
                row[start + 32 + i] = scale_1 * np.float32(code >> 2 & 3) - offset_1
                row[start + 64 + i] = scale_2 * np.float32(code >> 4 & 3) - offset_2
                row[start + 96 + i] = scale_3 * np.float32(code >> 6) - offset_3


@_compiled
def q3_k(blocks: Blocks, halves: Floats, values: Floats) -> None:
    """Decode 32 bytes of high bits, 64 of pairs and 12 of 16 scales, twice alike."""
    for n in range(len(blocks)):
        block, row = blocks[n], values[n]
        d = _half(block, 108, halves)
        for group in range(4):
            half, run = group // 2, group % 2
            pairs, start, first = 32 + 16 * group, 128 * half + 16 * run, 8 * half + run
            scale_0 = d * _six_bits(block, first)
            scale_1 = d * _six_bits(block, first + 2)
            scale_2 = d * _six_bits(block, first + 4)
            scale_3 = d * _six_bits(block, first + 6)
            for i in range(16):
                bits = np.int32(block[16 * run + i]) >> np.int32(4 * half)
                code = np.int32(block[pairs + i])
                both = code & 3 | (bits & 1) << 2
                row[start + i] = scale_0 * np.float32(both - 4)
                both = code >> 2 & 3 | (bits >> 1 & 1) << 2
                row[start + 32 + i] = scale_1 * np.float32(both - 4)
                both = code >> 4 & 3 | (bits >> 2 & 1) << 2
                row[start + 64 + i] = scale_2 * np.float32(both - 4)
                both = code >> 6 & 3 | (bits >> 3 & 1) << 2
                row[start + 96 + i] = scale_3 * np.float32(both - 4)


@_compiled
def _six_bits(block: Blocks, number: int) -> np.float32:
    """Return a scale of q3_k, whose high pairs are behind all low halves."""
    low = block[96 + number % 8] >> 4 * (number // 8) & 15
    high = block[104 + number % 4] >> 2 * (number // 4) & 3
    return np.float32(np.int32(low | high << 4) - 32)


@_compiled
def q5_1(blocks: Blocks, halves: Floats, values: Floats) -> None:
    """Decode a word of fifth bits, and 16 bytes of halves."""
    for n in range(len(blocks)):
        block, row = blocks[n], values[n]
        d, m = _half(block, 0, halves), _half(block, 2, halves)
        fifths = np.int32(_word(block, 4))
        for i in range(16):
            code = np.int32(block[8 + i])
            low = code & 15 | (fifths >> np.int32(i) & 1) << 4
            high = code >> 4 | (fifths >> np.int32(16 + i) & 1) << 4
            row[i] = np.float32(low) * d + m
            row[16 + i] = np.float32(high) * d + m


@_compiled
def iq4_nl(blocks: Blocks, halves: Floats, table: Floats, values: Floats) -> None:
    """Decode 16 bytes of halves that are numbers of values."""
    for n in range(len(blocks)):
        d = _half(blocks[n], 0, halves)
        for i in range(16):
            values[n, i] = d * table[blocks[n, 2 + i] & 15]
            values[n, 16 + i] = d * table[blocks[n, 2 + i] >> 4]


@_compiled
def iq4_xs(blocks: Blocks, halves: Floats, table: Floats, values: Floats) -> None:
    """Decode eight such groups, with six bits of scale each."""
    for n in range(len(blocks)):
        block = blocks[n]
        d = _half(block, 0, halves)
        highs = np.int32(block[2]) | np.int32(block[3]) << 8
        for group in range(8):
            low = block[4 + group // 2] >> 4 * (group % 2) & 15
            code = np.int32(low) | (highs >> 2 * group & 3) << 4
            scale = d * np.float32(code - 32)
            for i in range(16):
                pair = block[8 + 16 * group + i]
                values[n, 32 * group + i] = scale * table[pair & 15]
                values[n, 32 * group + 16 + i] = scale * table[pair >> 4]


@_compiled
def nvfp4(blocks: Blocks, scales: Floats, table: Floats, values: Floats) -> None:
    """Decode four groups of eight such bytes; `scales` are those of all e4m3 codes."""
    for n in range(len(blocks)):
        for group in range(4):
            scale, start = scales[blocks[n, group]], 16 * group
            for i in range(8):
                pair = blocks[n, 4 + 8 * group + i]
                values[n, start + i] = scale * table[pair & 15]
                values[n, start + 8 + i] = scale * table[pair >> 4]


@_compiled
def iq2_xxs(blocks: Blocks, halves: Floats, grid: Floats, values: Floats) -> None:
    """Decode eight groups of four points and a word, of four signs and a scale."""
    for n in range(len(blocks)):
        d = _half(blocks[n], 0, halves)
        for group in range(8):
            points = blocks[n, 2 + 8 * group : 10 + 8 * group]
            word = _word(points, 4)
            scale = d * (_HALF + np.float32(word >> 28)) * _QUARTER
            for k in range(4):
                eight = values[n, 32 * group + 8 * k : 32 * group + 8 * k + 8]
                signs = _KNOWN_SIGNS[word >> 7 * k & 127]
                _put_eight(eight, scale, grid[points[k]], signs)


@_compiled
def iq2_xs(blocks: Blocks, halves: Floats, grid: Floats, values: Floats) -> None:
    """Decode 32 points of nine bits with seven of signs, and a half for each two."""
    for n in range(len(blocks)):
        block = blocks[n]
        d = _half(block, 0, halves)
        for k in range(32):
            both = np.int32(block[2 + 2 * k]) | np.int32(block[3 + 2 * k]) << 8
            code = block[66 + k // 4] >> 4 * (k // 2 % 2) & 15
            scale = d * (_HALF + np.float32(code)) * _QUARTER
            eight = values[n, 8 * k : 8 * k + 8]
            _put_eight(eight, scale, grid[both & 511], _KNOWN_SIGNS[both >> 9])


@_compiled
def iq2_s(blocks: Blocks, halves: Floats, grid: Floats, values: Floats) -> None:
    """Decode 32 points, signs, high pairs of points, and a half for each two."""
    for n in range(len(blocks)):
        block = blocks[n]
        d = _half(block, 0, halves)
        for k in range(32):
            high = np.int32(block[66 + k // 4]) >> 2 * (k % 4) & 3
            code = block[74 + k // 4] >> 4 * (k // 2 % 2) & 15
            scale = d * (_HALF + np.float32(code)) * _QUARTER
            eight, point = values[n, 8 * k : 8 * k + 8], block[2 + k] | high << 8
            _put_eight(eight, scale, grid[point], _SIGNS[block[34 + k]])


@_compiled
def iq3_xxs(blocks: Blocks, halves: Floats, grid: Floats, values: Floats) -> None:
    """Decode 64 points of four, and for eight each a word of four signs and a scale."""
    for n in range(len(blocks)):
        d = _half(blocks[n], 0, halves)
        for group in range(8):
            word = _word(blocks[n], 66 + 4 * group)
            scale = d * (_HALF + np.float32(word >> 28)) * _HALF
            for k in range(4):
                at, signs = 8 * group + 2 * k, _KNOWN_SIGNS[word >> 7 * k & 127]
                one, two = blocks[n, 2 + at], blocks[n, 3 + at]
                _put_four(values[n, 4 * at :], scale, grid[one], signs)
                _put_four(values[n, 4 * at + 4 :], scale, grid[two], signs[4:])


@_compiled
def iq3_s(blocks: Blocks, halves: Floats, grid: Floats, values: Floats) -> None:
    """Decode 64 points of four, their ninth bits, signs, and a half for each eight."""
    for n in range(len(blocks)):
        block = blocks[n]
        d = _half(block, 0, halves)
        for k in range(32):
            code = block[106 + k // 8] >> 4 * (k // 4 % 2) & 15
            scale = d * np.float32(1 + 2 * np.int32(code))
            ninths = np.int32(block[66 + k // 4]) >> 2 * (k % 4)
            one = block[2 + 2 * k] | (ninths & 1) << 8
            two = block[3 + 2 * k] | (ninths >> 1 & 1) << 8
            signs = _SIGNS[block[74 + k]]
            _put_four(values[n, 8 * k :], scale, grid[one], signs)
            _put_four(values[n, 8 * k + 4 :], scale, grid[two], signs[4:])


@_compiled
def _half(block: Blocks, start: int, halves: Floats) -> np.float32:
    return np.float32(halves[np.int32(block[start]) | np.int32(block[start + 1]) << 8])


@_compiled
def _word(block: Blocks, start: int) -> np.uint32:
    low = np.uint32(block[start]) | np.uint32(block[start + 1]) << 8
    high = np.uint32(block[start + 2]) | np.uint32(block[start + 3]) << 8
    return np.uint32(low | high << 16)


@_compiled
def _put_eight(values: Floats, scale: np.float32, point: Floats, signs: Floats) -> None:
    for i in range(8):
        values[i] = scale * point[i] * signs[i]


@_compiled
def _put_four(values: Floats, scale: np.float32, point: Floats, signs: Floats) -> None:
    for i in range(4):
        values[i] = scale * point[i] * signs[i]
