"""Blocks of bytes → f32 values.

Scales that are infinite or no number give such values, without a warning.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, UnrepresentableError

Blocks = NDArray[np.uint8]
Values = NDArray[np.float32]


def decode_by_gguf(name: str, blocks: Blocks) -> Values:
    """Return the values of `(n, block_bytes)` blocks as `(n, block_elements)`.

    Raises UnrepresentableError when the installed `gguf` is too old for the encoding.
    """
    elements = ENCODINGS[name].block_elements
    if not blocks.size:
        return np.empty((0, elements), np.float32)
    # As one row: the package works on 16 rows at a time.
    return _dequantized(name, blocks.reshape(1, -1)).reshape(-1, elements)


def _dequantized(name: str, row: Blocks) -> Values:
    try:
        with np.errstate(all="ignore"):
            values: Values = dequantize(row, GGMLQuantizationType[name.upper()])
    # What the package raises for a type that it lists, but does not decode.
    except (KeyError, NotImplementedError) as error:
        raise UnrepresentableError(
            name, "the installed gguf package does not decode it; install a newer one"
        ) from error
    return values


def _decode_q8_1(blocks: Blocks) -> Values:
    """Read blocks of a scale f16, a sum f16, and 32 quants i8."""
    return _scaled(blocks, np.ascontiguousarray(blocks[:, 4:]).view(np.int8))


def _decode_q1_0(blocks: Blocks) -> Values:
    """Read blocks of a scale f16 and 128 bits, which are signs."""
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little")
    return _scaled(blocks, 2 * bits.astype(np.int8) - 1)


def _decode_q2_0(blocks: Blocks) -> Values:
    """Read blocks of a scale f16 and 64 pairs of bits, which are -1 to 2."""
    pairs = np.stack([blocks[:, 2:] >> shift & 3 for shift in (0, 2, 4, 6)], axis=-1)
    return _scaled(blocks, pairs.reshape(len(blocks), 64).astype(np.int8) - 1)


def _scaled(blocks: Blocks, quants: NDArray[np.int8]) -> Values:
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    with np.errstate(all="ignore"):
        return scales * quants.astype(np.float32)


OTHERS: Final[Mapping[str, Callable[[Blocks], Values]]] = {
    "q8_1": _decode_q8_1,
    "q1_0": _decode_q1_0,
    "q2_0": _decode_q2_0,
}
"""What decodes the types that the package does not."""
