"""f32 values → blocks of the types that ggml searches scales for.

The bytes are those of a build of ggml that fuses no product with a sum, as the builds
for x86-64 are.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from aprhub.api import ENCODINGS
from aprhub_ggml.portable.arithmetic import Blocks, Values, importance_weights
from aprhub_ggml.portable.float_blocks import encode_nvfp4
from aprhub_ggml.portable.offset_blocks import encode_q2_k, encode_q4_k, encode_q5_k
from aprhub_ggml.portable.symmetric_blocks import encode_q3_k, encode_q6_k
from aprhub_ggml.portable.table_blocks import encode_iq4_nl, encode_iq4_xs
from aprhub_ggml.portable.weighted_blocks import (
    encode_q4_0,
    encode_q4_1,
    encode_q5_0,
    encode_q5_1,
)

_ENCODERS: Final[Mapping[str, Callable[..., Blocks]]] = {
    "q4_0": encode_q4_0,
    "q4_1": encode_q4_1,
    "q5_0": encode_q5_0,
    "q5_1": encode_q5_1,
    "q2_k": encode_q2_k,
    "q3_k": encode_q3_k,
    "q4_k": encode_q4_k,
    "q5_k": encode_q5_k,
    "q6_k": encode_q6_k,
    "iq4_nl": encode_iq4_nl,
    "iq4_xs": encode_iq4_xs,
    "nvfp4": encode_nvfp4,
}

WEIGHTED_NAMES: Final = ("q4_0", "q4_1", "q5_0", "q5_1")
"""What is searched for with importance only; without, it is plain rounding."""

NAMES: Final = tuple(name for name in _ENCODERS if name not in WEIGHTED_NAMES)
"""What is encoded with importance and without."""

_BATCH: Final = 1 << 16
"""Elements that are searched at a time: some copies of them are held by a cache."""


def encode(name: str, values: Values, importance: Values | None = None) -> Blocks:
    """Return `(rows, columns)` values as `(n, block_bytes)` blocks.

    Columns are a whole number of blocks. Importance is what an error in each column
    counts; with it a row of values is a row of the tensor.
    """
    size, width = ENCODINGS[name].block_elements, ENCODINGS[name].block_bytes
    blocks = np.empty((values.size // size, width), np.uint8)
    step = _BATCH // size
    with np.errstate(all="ignore"):
        arrays = [each.reshape(-1, size) for each in _inputs(name, values, importance)]
        for start in range(0, len(blocks), step):
            batch = slice(start, start + step)
            blocks[batch] = _ENCODERS[name](*(each[batch] for each in arrays))
    return blocks


def _inputs(name: str, values: Values, importance: Values | None) -> tuple[Values, ...]:
    if importance is None:
        return (values,)
    if name in WEIGHTED_NAMES:
        return values, importance_weights(values, importance, 1)
    return values, np.broadcast_to(importance, values.shape)
