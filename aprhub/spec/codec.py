"""Codecs: how a quantised encoding is turned into values, and back."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Values = NDArray[np.float32]
Encode = Callable[[Values, Values | None], Bytes]
Fit = Callable[[Iterable[Values]], tuple[Bytes, Encode]]


@frozen
class Codec:
    """The arithmetic of one encoding.

    `decode(blocks, header)` takes whole blocks as a `(n, block_bytes)` array and the
    `header_bytes` that precede them (empty for most encodings), and returns the
    `(n, block_elements)` f32 values. `encode(values, importance)` takes finite values
    as `(rows, columns)`, columns a whole number of blocks, and returns the blocks; it
    is None where nobody can make them. `importance` is None, or says as f32
    `(columns,)` how much an error in each column costs, finite and not negative; then
    a row is a whole row of the tensor. With `needs_importance` it may not be None.
    Of a flat encoding, values are one row of any length, without importance.
    Where blocks have a header, there is `fit` instead: it takes all values of a tensor
    in pieces, and returns the header and what encodes them behind it.
    None of them changes its inputs. `source` and `encoder` say whose arithmetic it is;
    with `takes_nan`, it also says what infinite values and no numbers become. Values
    beyond `largest` would be cut off, so they are refused.
    """

    name: str
    decode: Callable[[Bytes, Bytes], Values] = field(eq=False, repr=False)
    source: str = ""
    encode: Encode | None = field(default=None, eq=False, repr=False)
    encoder: str = ""
    needs_importance: bool = False
    fit: Fit | None = field(default=None, eq=False, repr=False)
    takes_nan: bool = False
    largest: float = math.inf

    @property
    def encodes(self) -> bool:
        """Whether values can be encoded, and not only blocks decoded."""
        return self.encode is not None or self.fit is not None


Array = NDArray[Any]
