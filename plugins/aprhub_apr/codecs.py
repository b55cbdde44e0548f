"""How APR's own quantised encodings turn into values, and values into them.

Layouts: the APR v2 specification, sections 3.2 (q8) and 3.3 (q4).
"""

from collections.abc import Iterable
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import Bytes, Codec, Encode

Values = NDArray[np.float32]

_ELEMENTS: Final = 32
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


def encode_q4(values: Values, _importance: Values | None) -> Bytes:
    """Return the blocks of a flat row; the last may be part, with nibbles of 0 then.

    As in the format's reference writer, codes are of the scale before it is rounded to
    f16, and a scale may become infinite or 0 there.
    """
    flat = values.reshape(-1)
    count = -(-flat.size // _ELEMENTS)
    padded = np.zeros((count, _ELEMENTS), np.float32)
    padded.reshape(-1)[: flat.size] = flat
    scales = np.abs(padded).max(axis=1, keepdims=True) / np.float32(7)
    scales[scales == 0] = 1
    codes = (_rounded(padded / scales).clip(-8, 7) + 8).astype(np.uint8)
    codes.reshape(-1)[flat.size :] = 0
    blocks = np.empty((count, 2 + _ELEMENTS // 2), np.uint8)
    with np.errstate(over="ignore"):
        blocks[:, :2] = scales.astype("<f2").view(np.uint8)
    blocks[:, 2:] = codes[:, ::2] | codes[:, 1::2] << 4
    return blocks


def fit_q8(pieces: Iterable[Values]) -> tuple[Bytes, Encode]:
    """Return the one scale that all values have, as a header, and what encodes them."""
    largest = np.float32(
        max((np.abs(each).max(initial=0) for each in pieces), default=0)
    )
    scale = largest / np.float32(127) or np.float32(1)
    return np.array([scale], "<f4").view(np.uint8), partial(_encode_q8, scale)


def _encode_q8(scale: np.float32, values: Values, _importance: Values | None) -> Bytes:
    codes = _rounded(values.reshape(-1, 1) / scale).clip(-127, 127)
    return codes.astype(np.int8).view(np.uint8)


def _rounded(values: Values) -> Values:
    """Return the nearest whole numbers; halves away from zero, unlike numpy's."""
    whole: Values = np.trunc(values)
    # What is left has less than a half, or a half or more, in each direction.
    whole += np.trunc((values - whole) * np.float32(2))
    return whole


_ENCODER: Final = "aprhub_apr"

CODECS: Final = (
    Codec("apr_q4", decode_q4, "APR v2, section 3.3", encode_q4, _ENCODER),
    Codec("apr_q8", decode_q8, "APR v2, section 3.2", fit=fit_q8, encoder=_ENCODER),
)
