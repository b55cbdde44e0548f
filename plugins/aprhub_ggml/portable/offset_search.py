"""Searches for a scale and a minimum of codes from zero, in many blocks at a time.

The methods are `make_qkx2_quants` and `make_qkx3_quants` of ggml's ggml-quants.c, which
differ by what they try only. Values and weights are `(elements, blocks)`.
"""

from collections.abc import Iterator

import numpy as np
from attrs import astuple, frozen

from aprhub_ggml.portable.arithmetic import Values, at_first, ordered_sum, rounded


@frozen
class Trials:
    """Codes go up to `levels`; `start + step · k`, k ≤ `count`, is added to that."""

    levels: int
    start: float
    step: float
    count: int
    absolute: bool = False
    """Whether errors are summed as such rather than as squares."""

    def numerators(self) -> Iterator[np.float32]:
        """Yield by how many steps the spread of the values is divided."""
        for k in range(self.count + 1):
            offset = np.float32(self.start) + np.float32(self.step) * np.float32(k)
            yield offset + np.float32(self.levels)


@frozen
class Fit:
    """What is found of each block: values are about scale · code + minimum.

    Codes are values less `origin`, times `inverse`, rounded.
    """

    origin: Values
    inverse: Values
    scale: Values
    minimum: Values
    error: Values

    def take(self, other: "Fit") -> None:
        """Become the other where that has the lesser error."""
        better = other.error < self.error
        for mine, theirs in zip(_arrays(self), _arrays(other), strict=True):
            np.copyto(mine, theirs, where=better)


def _arrays(fit: Fit) -> tuple[Values, ...]:
    return astuple(fit, recurse=False)


@frozen
class _Blocks:
    """Blocks to search, with what all trials need of them."""

    values: Values
    weights: Values
    maximum: Values
    weight_sum: Values
    value_sum: Values
    trials: Trials

    def codes(self, origin: Values, inverse: Values) -> Values:
        shifted = self.values - origin
        shifted *= inverse
        return rounded(shifted, 0, self.trials.levels)

    def error(self, codes: Values, scale: Values, minimum: Values) -> Values:
        """Return the weighted error; the codes are overwritten."""
        codes *= scale
        codes += minimum
        codes -= self.values
        if self.trials.absolute:
            np.abs(codes, out=codes)
        else:
            codes *= codes
        codes *= self.weights
        return ordered_sum(codes)


@frozen
class Offset:
    """Scales and minima, not above 0, of the blocks, and codes as whole f32."""

    scale: Values
    minimum: Values
    codes: Values


def search_offset(values: Values, weights: Values, trials: Trials) -> Offset:
    """Return the scales and minima of the least weighted error among the trials.

    A block whose values are all the same and not above zero has a scale of 0.
    """
    blocks = _Blocks(
        values,
        weights,
        values.max(axis=0),
        ordered_sum(weights),
        ordered_sum(weights * values),
        trials,
    )
    best = _at_extremes(blocks)
    for numerator in trials.numerators():
        # Each trial starts from the minimum that is the best so far.
        best.take(_fitted(blocks, best.minimum, numerator))
    return Offset(best.scale, best.minimum, blocks.codes(best.origin, best.inverse))


def _at_extremes(blocks: _Blocks) -> Fit:
    """Return the fit whose codes reach from the least value to the greatest."""
    least = at_first(blocks.values, blocks.values.argmin(axis=0))
    minimum = np.where(least > 0, np.float32(0), least)
    # Of two zeros the difference may be -0, but the scale of zeros is 0.
    spread = np.abs(blocks.maximum - minimum)
    inverse: Values = np.divide(np.float32(blocks.trials.levels), spread)
    scale = np.float32(1) / inverse
    error = blocks.error(blocks.codes(minimum, inverse), scale, minimum)
    return Fit(minimum.copy(), inverse, scale, minimum, error)


def _fitted(blocks: _Blocks, origin: Values, numerator: np.float32) -> Fit:
    """Return the scale and minimum of least squares for the codes of a trial."""
    inverse = numerator / (blocks.maximum - origin)
    codes = blocks.codes(origin, inverse)
    terms = blocks.weights * codes
    code_sum = ordered_sum(terms)
    square_sum = ordered_sum(terms * codes)
    terms *= blocks.values
    product_sum = ordered_sum(terms)
    determinant = blocks.weight_sum * square_sum - code_sum * code_sum
    scale = blocks.weight_sum * product_sum - blocks.value_sum * code_sum
    minimum = square_sum * blocks.value_sum - code_sum * product_sum
    scale /= determinant
    minimum /= determinant
    above = minimum > 0
    np.copyto(minimum, np.float32(0), where=above)
    np.copyto(scale, product_sum / square_sum, where=above)
    error = blocks.error(codes, scale, minimum)
    error[~(determinant > 0)] = np.inf
    return Fit(origin.copy(), inverse, scale, minimum, error)
