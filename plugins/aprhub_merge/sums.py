"""Weighted sums, and sums whose coefficients follow from products of the tensors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aprhub.api import Blend, Group, Numbers, Piece, UsageError, Values


def combination(
    coefficients: Numbers | Sequence[Numbers],
    tensors: Sequence[NDArray[np.floating] | NDArray[np.bool_]],
) -> Numbers:
    """Return the sum of tensors, each times its coefficient, in f64."""
    first, *rest = zip(coefficients, tensors, strict=True)
    total: Numbers = np.multiply(*first, dtype=np.float64)
    for coefficient, tensor in rest:
        total += np.multiply(coefficient, tensor, dtype=np.float64)
    return total


def added(tensors: Sequence[NDArray[np.floating]]) -> Numbers:
    """Return the sum of tensors in f64."""
    first, *rest = tensors
    if not rest:
        return first.astype(np.float64)
    second, *others = rest
    return totalled(np.add(first, second, dtype=np.float64), *others)


def totalled(total: Numbers, *terms: NDArray[np.floating]) -> Numbers:
    """Add terms to a tensor, which changes, and return it."""
    for each in terms:
        total += each
    return total


def agreeing(up: NDArray[np.bool_], part: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which elements are above zero where that is `up`, and below elsewhere."""
    agrees: NDArray[np.bool_] = ((part > 0) == up) & (part != 0)
    return agrees


def grounded(base: Values, delta: Numbers) -> Numbers:
    """Return base plus delta, which changes; where it is zero, the base.

    Nothing minus zero is zero without a sign, which changes no base, be it negative.
    """
    np.subtract(0.0, delta, out=delta)
    return np.subtract(base, delta, out=delta)


def deltas(piece: Piece) -> list[Values]:
    """Return what each model has more than the base; the models, without a base."""
    if piece.base is None:
        return [*piece.models]
    return [model - piece.base for model in piece.models]


def gram(group: Group) -> Numbers:
    """Return the products of all pairs of tensors, or of deltas if there is a base."""
    return group.folded(lambda piece: products(deltas(piece)))


def products(tensors: Sequence[Values]) -> Numbers:
    """Return the products of all pairs of tensors."""
    # einsum runs on one core in one order; BLAS would split the sum by cores.
    wide = [each.ravel().astype(np.float64) for each in tensors]
    found = np.empty((len(wide), len(wide)))
    for row, left in enumerate(wide):
        for column, right in enumerate(wide[: row + 1]):
            product = np.einsum("i,i->", left, right)
            found[row, column] = found[column, row] = product
    return found


def summed(coefficients: Numbers) -> Blend:
    """Return the blend that is a combination of the models, or of deltas on a base."""

    def blend(piece: Piece) -> Numbers:
        total = combination(coefficients, deltas(piece))
        return total if piece.base is None else grounded(piece.base, total)

    return blend


def normalised(weights: Numbers) -> Numbers:
    """Return weights divided by their sum."""
    if weights.sum() == 0:
        listed = ", ".join(f"{each:g}" for each in weights)
        raise UsageError(f"weight: {listed} add up to zero; give others")
    shares: Numbers = weights / weights.sum()
    return shares


def linear(group: Group) -> Blend:
    """Average the models by weight; without `normalize`, only add them up."""
    weights = group.settings.each("weight")
    return summed(normalised(weights) if group.settings["normalize"] else weights)


def weighted(group: Group) -> Blend:
    """Average the models by weight."""
    return summed(normalised(group.settings.each("weight")))


def average(group: Group) -> Blend:
    """Average the models."""
    return summed(normalised(np.ones(len(group.settings.own))))


def energetic(group: Group) -> Blend:
    """Average by half the weights and half each model's share of the mean square."""
    weights = normalised(group.settings.each("weight"))
    squares = np.diag(gram(group))
    if squares.sum() == 0:
        return summed(weights)
    return summed((weights + squares / squares.sum()) / 2)


def passthrough(group: Group) -> Blend:
    """Give the one model, times a number."""
    return summed(group.settings.each("scale"))
