"""How APR's own quantised encodings turn into values.

Layouts: the APR v2 specification, sections 3.2 (q8) and 3.3 (q4).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import Bytes, Codec

Values = NDArray[np.float32]

_SMALLEST_SCALE: Final = np.float32(2.0**-14)


def decode_q4(blocks: Bytes, _header: Bytes) -> Values:
    """Return the values of blocks of an f16 scale and 32 nibbles, low nibble first.

    As in the format's reference reader, a scale that is not finite or smaller than
    the smallest normal f16 counts as 0.
    """
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)  # (n, 1)
    usable = np.isfinite(scales) & (np.abs(scales) >= _SMALLEST_SCALE)
    scales[~usable] = 0
    nibbles = np.stack((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=-1)
    centred = nibbles.reshape(len(blocks), 32).astype(np.float32) - np.float32(8)
    return centred * scales


def decode_q8(blocks: Bytes, header: Bytes) -> Values:
    """Return signed bytes times the one f32 scale that stands before them."""
    scale = header.copy().view("<f4")
    values = blocks.copy().view(np.int8).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        values *= scale
    return values


CODECS: Final = (
    Codec("apr_q4", decode_q4, source="APR v2, section 3.3"),
    Codec("apr_q8", decode_q8, source="APR v2, section 3.2"),
)
