"""Blocks cut into parts that have a scale each, and put together again.

Blocks are `(n, elements)`, what is known of their parts `(n, parts)`; searches go over
`(elements of a part, parts of all blocks)` or `(parts, n)`.
"""

import numpy as np
from numpy.typing import NDArray

from aprhub_ggml.portable.arithmetic import Blocks, Values


def cut(blocks: Values, size: int) -> Values:
    """Return the parts of `size` elements of all blocks, elements first."""
    return np.ascontiguousarray(blocks.reshape(-1, size).T)


def by_block(parts: Values, blocks: int) -> Values:
    """Return what is known of each part as `(parts, n)`."""
    return np.ascontiguousarray(parts.reshape(blocks, -1).T)


def joined(codes: Values | Blocks | NDArray[np.intp], elements: int) -> Blocks:
    """Return the codes of parts, elements first, as those of blocks."""
    return codes.T.astype(np.uint8).reshape(-1, elements)


def as_half(values: Values) -> Values:
    """Return what is left of values that are stored as f16."""
    return values.astype(np.float16).astype(np.float32)


def half_bytes(values: Values) -> Blocks:
    """Return `n` values as `(n, 2)` bytes of f16."""
    return values.astype("<f2").view(np.uint8).reshape(-1, 2)
