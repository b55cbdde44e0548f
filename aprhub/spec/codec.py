"""Codecs: how a quantised encoding is turned into values, and back."""

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Values = NDArray[np.float32]


@frozen
class Codec:
    """The arithmetic of one encoding.

    `decode(blocks, header)` takes whole blocks as a `(n, block_bytes)` array and the
    `header_bytes` that precede them (empty for most encodings), and returns the
    `(n, block_elements)` f32 values. `encode(values)` takes such values, all of them
    finite, and returns the blocks; it is None where nobody can make them. Neither
    changes its inputs. `source` and `encoder` say whose arithmetic it is.
    """

    name: str
    decode: Callable[[Bytes, Bytes], Values] = field(eq=False, repr=False)
    source: str = ""
    encode: Callable[[Values], Bytes] | None = field(default=None, eq=False, repr=False)
    encoder: str = ""


Array = NDArray[Any]
