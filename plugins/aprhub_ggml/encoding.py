"""f32 values → blocks of bytes, the same as ggml's own."""

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize
from numpy.typing import NDArray

from aprhub.api import ENCODINGS

_WITH_MINIMUM = ("q4_1", "q5_1")
"""Blocks that begin with a scale and a minimum, f16 each."""


def encode_by_gguf(name: str, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return rows of values as `(n, block_bytes)` blocks, by numpy."""
    encoding = ENCODINGS[name]
    values = values.reshape(-1, encoding.block_elements)
    if not values.size:
        return np.empty((0, encoding.block_bytes), np.uint8)
    # Adding zero makes -0 a 0, where the package takes another sign than ggml.
    row = (values + np.float32(0)).reshape(1, -1)
    with np.errstate(all="ignore"):
        quantized = quantize(row, GGMLQuantizationType[name.upper()])
    blocks: NDArray[np.uint8] = quantized.reshape(-1, encoding.block_bytes)
    if name in _WITH_MINIMUM:
        _sign_zero_minimum(blocks, values)
    return blocks


def _sign_zero_minimum(blocks: NDArray[np.uint8], values: NDArray[np.float32]) -> None:
    """Give a minimum that is zero the sign of the first zero, as ggml does."""
    places = values.argmin(axis=1, keepdims=True)
    least = np.take_along_axis(values, places, axis=1)
    blocks[:, 3:4] |= ((least == 0) & np.signbit(least)).astype(np.uint8) << 7
