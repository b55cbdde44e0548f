"""Codes moved one by one to a lesser error: the last step of two of ggml's searches.

The method is that of `make_q3_quants` and `make_qp_quants` in ggml's ggml-quants.c.
"""

from typing import Final

import numpy as np
from attrs import frozen

from aprhub_ggml.portable.arithmetic import Values, rounded

_ROUNDS: Final = 5


@frozen
class Sums:
    """Sums over w·x·l and over w·l·l of each block, changed in place."""

    products: Values
    squares: Values

    def scale(self) -> Values:
        """Return the scales of least squares, 0 where all codes or weights are 0."""
        some = self.squares > 0
        return np.where(some, self.products / self.squares, np.float32(0))


@frozen
class Bounds:
    """What a code can be; `unsigned` ones are kept as a byte and so wrap around."""

    low: int
    high: int
    unsigned: bool = False

    def kept(self, codes: Values) -> Values:
        """Return codes as they are read again."""
        return np.mod(codes, np.float32(256)) if self.unsigned else codes


def descend(
    values: Values, weights: Values, codes: Values, sums: Sums, bounds: Bounds
) -> None:
    """Change `(elements, blocks)` codes and their sums where that lessens the error."""
    for _ in range(_ROUNDS):
        moved = [
            _move(each, sums, bounds)
            for each in zip(values, weights, codes, strict=True)
        ]
        if not any(moved):
            return


def _move(element: tuple[Values, Values, Values], sums: Sums, bounds: Bounds) -> bool:
    """Change one element's code in the blocks that gain; say whether any does."""
    value, weight, code = element
    weighted = weight * value
    products = sums.products - weighted * code
    squares = sums.squares - weight * code * code
    possible = products > 0
    exact: Values = np.divide(value * squares, products)
    tried = rounded(exact, bounds.low, bounds.high)
    products += weighted * tried
    squares += weight * tried * tried
    gain = products * products * sums.squares > sums.products * sums.products * squares
    better = possible & (tried != code) & (squares > 0) & gain
    np.copyto(code, bounds.kept(tried), where=better)
    np.copyto(sums.products, products, where=better)
    np.copyto(sums.squares, squares, where=better)
    return bool(better.any())
