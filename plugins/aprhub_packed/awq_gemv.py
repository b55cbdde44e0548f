"""AWQ in its other layout: words along the inputs, codes in their own order.

    qweight  (outputs, inputs / 8)      words
    qzeros   (outputs, groups / 8)      words, more than there are groups
    scales   (outputs, columns)         floats, as many as codes in `qzeros`

A value is `scale * (code - zero)`. Source: `awq/modules/linear/gemv.py` of AutoAWQ.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import Tensor
from aprhub_packed.bits import unpacked
from aprhub_packed.grid import Grid, Rows, Scaled, stored_rows
from aprhub_packed.parts import FLOATS, Parts

_PER_WORD: Final = 8


def reader(group: int | None) -> Callable[[Parts], Tensor]:
    """Return what makes a weight of its parts."""

    def weight(parts: Parts) -> Tensor:
        words = parts.take("qweight", ("i32",))
        zeros = parts.take("qzeros", ("i32",))
        shape = words.shape[0], words.shape[1] * _PER_WORD
        width = group or shape[1]
        count = shape[1] // width
        if shape[1] % width or zeros.shape[1] * _PER_WORD < count:
            what = (
                f"has shape {zeros.shape}, expected words for groups of {width} inputs"
                f" of {shape}"
            )
            raise parts.fault("qzeros", what)
        padded = (shape[0], zeros.shape[1] * _PER_WORD)
        scales = stored_rows(parts.shaped("scales", FLOATS, padded))
        parts.shaped("qzeros", ("i32",), (shape[0], zeros.shape[1]))
        values = Scaled(
            _codes(words),
            _grid(shape, width, scales),
            _grid(shape, width, _codes(zeros)),
        )
        return parts.weight(f"awq gemv 4-bit, group {width}", values.values())

    return weight


def _grid(shape: tuple[int, int], width: int, numbers: Rows) -> Grid:
    """Return numbers of groups, without those that only fill up words."""
    count = shape[1] // width
    return Grid(shape, (1, width), lambda first, stop: numbers(first, stop)[:, :count])


def _codes(words: Tensor) -> Rows:
    def codes(first: int, stop: int) -> NDArray[np.float32]:
        rows = words.sliced(first, stop).numpy().view("<u4")
        return unpacked(rows.T, 4).T.astype(np.float32)

    return codes
