"""bitsandbytes: rows of int8, each with its largest value.

A value is `code * SCB / 127`. Source: `bitsandbytes/nn/modules.py`, and
`int8_vectorwise_dequant` in `bitsandbytes/_ops.py`.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import ComputedRows, Tensor
from aprhub_packed import tables
from aprhub_packed.parts import Parts
from aprhub_packed.settings import Settings

PARTS: Final = ("weight", "SCB", "weight_format", *tables.PARTS)

_STEP: Final = np.float32(1 / 127)


def reader(_settings: Settings) -> Callable[[Parts], Tensor]:
    """Return what makes a weight of its parts, which say all that there is to know."""
    return _weight


def _weight(parts: Parts) -> Tensor:
    if any(name in parts for name in tables.PARTS):
        return tables.weight(parts)
    return _int8(parts)


def _int8(parts: Parts) -> Tensor:
    codes = parts.take("weight", ("i8",))
    largest = parts.shaped("SCB", ("f32",), codes.shape[:1])
    if "weight_format" in parts:
        layout = parts.take("weight_format", ("u8",), ranks=(0,))
        if layout.numpy().any():
            what = f"is {layout.numpy()}; take a checkpoint with 0, plain rows"
            raise parts.unsupported("weight_format", what)

    def compute(first: int, stop: int) -> NDArray[np.float32]:
        values = codes.sliced(first, stop).numpy().astype(np.float32)
        values *= largest.sliced(first, stop).numpy()[:, None]
        values *= _STEP
        return values

    rows = ComputedRows(codes.shape[0], codes.shape[1], compute)
    return parts.weight("bitsandbytes int8, per channel", rows)
