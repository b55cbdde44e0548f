"""Weights that are stored with their inputs as rows: rows of them are columns there.

They are computed for so many rows at a time that a column is worth reading, and in
bands of inputs, so that no more than the result is held at once.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import ComputedRows, FileRange, Tensor

Span = tuple[int, int]
Values = NDArray[np.float32]
Band = Callable[[Span, Span], Values]
"""Takes a span of inputs and one of outputs; returns values, (inputs, outputs)."""

_VALUES: Final = 3 << 18
"""How many values are computed at once; several workers do so, in 200 MiB."""

_INPUTS: Final = 1024
"""How many inputs a band has: whole words of codes of any width."""


def turned(outputs: int, inputs: int, band: Band) -> ComputedRows:
    """Return the rows of a weight of which bands are computed with inputs as rows."""

    def compute(first: int, stop: int) -> Values:
        rows = np.empty((stop - first, inputs), np.float32)
        for low in range(0, inputs, _INPUTS):
            high = min(low + _INPUTS, inputs)
            rows[:, low:high] = band((low, high), (first, stop)).T
        return rows

    height = min(max(_VALUES // inputs, 1), outputs)
    return ComputedRows(outputs, inputs, compute, height)


def window(tensor: Tensor, rows: Span, columns: Span) -> NDArray[Any]:
    """Return some rows and columns of a stored matrix, reading nothing else."""
    width, item = tensor.shape[1], tensor.encoding.block_bytes
    count = columns[1] - columns[0]
    out = np.empty((rows[1] - rows[0], count * item), np.uint8)
    start, stride = (rows[0] * width + columns[0]) * item, width * item
    if isinstance(tensor.source, FileRange) and count < width:
        tensor.source.read_lines(start, stride, out)
    elif count == width:
        tensor.read_into(start, out.reshape(-1))
    else:
        for row, line in enumerate(out):
            tensor.read_into(start + row * stride, line)
    return out.view(tensor.encoding.dtype or np.uint8)
