"""Blocks of bytes → f32 values.

Scales that are infinite or no number give such values, without a warning.
"""

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


def decode_q8_1(blocks: Blocks) -> Values:
    """Return scales times quants; a block is scale f16, sum f16, 32 quants i8."""
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    quants = np.ascontiguousarray(blocks[:, 4:]).view(np.int8)
    with np.errstate(all="ignore"):
        return scales * quants.astype(np.float32)
