"""Numbers of which each holds for a block of a matrix: scales and zero points."""

from collections.abc import Callable

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, ComputedRows, Tensor
from aprhub_packed.parts import Parts

Block = tuple[int, int]
Rows = Callable[[int, int], NDArray[np.float32]]
"""Takes the first row and the one after the last; returns them."""


@frozen
class Grid:
    """A matrix of `shape` in blocks of so many rows and columns, with a number each.

    `numbers` returns some rows of the numbers. `groups` says which column of them holds
    for each column of the matrix, where that is not their order.
    """

    shape: tuple[int, int]
    block: Block
    numbers: Rows = field(repr=False)
    groups: Callable[[], NDArray[np.int64]] | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """The rows and columns of the numbers themselves."""
        return grid_size(self.shape, self.block)

    def rows(self, first: int, stop: int) -> NDArray[np.float32]:
        """Return the number that holds for each element of some rows of the matrix."""
        height, width = self.block
        low = first // height
        numbers = self.numbers(low, -(-stop // height))
        if height > 1:
            tall = np.repeat(numbers, height, axis=0)
            numbers = tall[first - low * height : stop - low * height]
        if self.groups:
            return numbers[:, self.groups()]
        return np.repeat(numbers, width, axis=1)[:, : self.shape[1]]

    def __str__(self) -> str:
        """Return in words for what a number holds."""
        height, width = self.block
        if self.block == self.shape:
            return "per tensor"
        if width == self.shape[1]:
            return "per channel"
        return f"group {width}" if height == 1 else f"blocks of {height}x{width}"


@frozen
class Scaled:
    """Codes, less a zero point, times a scale: how most packings compute a weight."""

    codes: Rows
    scales: Grid
    zeros: Grid | None = None

    def values(self) -> ComputedRows:
        """Return all rows of the weight, computed when they are read."""
        return ComputedRows(*self.scales.shape, self.rows)

    def rows(self, first: int, stop: int) -> NDArray[np.float32]:
        """Return some rows of the weight."""
        values = self.codes(first, stop)
        if self.zeros:
            values = values - self.zeros.rows(first, stop)
        return values * self.scales.rows(first, stop)


def grid_size(shape: tuple[int, int], block: Block) -> tuple[int, int]:
    """Return how many blocks cover a matrix, down and across."""
    return -(-shape[0] // block[0]), -(-shape[1] // block[1])


def stored_grid(
    parts: Parts, name: str, shape: tuple[int, int], *blocks: Block
) -> Grid:
    """Return the grid that a part of floats or whole numbers is.

    The numbers are one for all, one for each row, or one for each block of the first
    size that fits. Raises CorruptFileError where none does.
    """
    tensor = as_matrix(parts.tensors[name])
    for block in (shape, (1, shape[1]), *blocks):
        if tensor.shape == grid_size(shape, block):
            return Grid(shape, block, stored_rows(tensor))
    listed = ", ".join(f"{height}x{width}" for height, width in blocks) or "none"
    raise parts.fault(
        name,
        f"has shape {parts.tensors[name].shape}, expected one number for all of"
        f" {shape}, one for each row, or one for each block (sizes: {listed})",
    )


def stored_rows(tensor: Tensor) -> Rows:
    """Return what reads some rows of a stored matrix as f32."""
    plain = tensor.cast(ENCODINGS["f32"])
    return lambda first, stop: plain.sliced(first, stop).numpy()


def as_matrix(tensor: Tensor) -> Tensor:
    """Return a scalar as one element, and a vector as one column."""
    return tensor if len(tensor.shape) == 2 else tensor.reshaped(tensor.size, 1)
