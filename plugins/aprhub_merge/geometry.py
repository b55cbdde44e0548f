"""Methods for tensors as vectors: on arcs, on spheres, between models.

Each result is a combination of the tensors, whose coefficients follow from the lengths
of the vectors and the angles between them, so that one look at the tensors suffices.
"""

import math
from typing import Final

import numpy as np

from aprhub.api import Blend, Group, ModelCheckError, Numbers, Piece
from aprhub_merge.sums import (
    combination,
    deltas,
    gram,
    grounded,
    normalised,
    products,
    summed,
)

_SAME: Final = 0.9995
"""The cosine from which two directions count as one."""
_LEAST: Final = 1e-7
"""Shorter vectors have no direction to speak of."""


def arc(angle: float, t: float) -> Numbers:
    """Return the coefficients of two ends of an arc for the place `t` on it."""
    return np.array([math.sin((1 - t) * angle), math.sin(t * angle)]) / math.sin(angle)


def chord(t: float) -> Numbers:
    """Return the coefficients for a place on the straight line."""
    return np.array([1 - t, t])


def _pairwise(group: Group) -> Numbers:
    """Return the products of the base and the one model."""
    return group.folded(lambda piece: products(_pair(piece)))


def _pair(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    return piece.ground, piece.models[0]


def _between(coefficients: Numbers) -> Blend:
    return lambda piece: combination(coefficients, _pair(piece))


def cosine(products: Numbers) -> float:
    """Return the cosine of two vectors; 0 where one of them is zero."""
    lengths = math.sqrt(products[0, 0]) * math.sqrt(products[1, 1])
    return min(max(products[0, 1] / lengths, -1.0), 1.0) if lengths else 0.0


def slerp(group: Group) -> Blend:
    """Go from the base to the model on an arc; on a line if that is nearly one."""
    t, found = group.settings["t"], cosine(_pairwise(group))
    straight = abs(found) > _SAME
    return _between(chord(t) if straight else arc(math.acos(found), t))


def slerp_apr(group: Group) -> Blend:
    """Go on an arc; on a line if a vector is zero or the angle less than 1e-6."""
    t, products = group.settings["t"], _pairwise(group)
    angle = math.acos(cosine(products))
    short = math.sqrt(min(np.diag(products))) < 1e-12 or angle < 1e-6
    return _between(chord(t) if short or angle == math.pi else arc(angle, t))


def rescaled_arc(products: Numbers, t: float) -> Numbers:
    """Return coefficients on an arc, or on a line stretched to the length between.

    The length between that of both ends counts where they have nearly one direction.
    """
    found = cosine(products)
    if abs(found) <= _SAME:
        return arc(math.acos(found), t)
    line = chord(t)
    length = _length(products, line)
    wanted = line @ np.sqrt(np.diag(products))
    return line * (wanted / length) if length else line


def nuslerp_apr(group: Group) -> Blend:
    """Go on an arc, keeping the length where it is nearly a line."""
    return _between(rescaled_arc(_pairwise(group), group.settings["t"]))


def multislerp_apr(group: Group) -> Blend:
    """Go from each result to the next model, by its share of the weights so far."""
    products, weights = gram(group), group.settings.each("weight")
    total = np.eye(len(weights))[0]
    for place in range(1, len(weights)):
        ends = np.stack([total, np.eye(len(weights))[place]])
        share = normalised(weights[: place + 1])[-1]
        total = rescaled_arc(ends @ products @ ends.T, share) @ ends
    return summed(total)


def multislerp(group: Group) -> Blend:
    """Go to the weighted mean on a sphere, at the mean distance of its origin.

    The mean of the directions has no tangential part left, so that the way back from
    its tangent space ends where it began.
    """
    weights, eps = group.settings.each("weight"), group.settings["eps"]
    if group.settings["normalize_weights"]:
        weights = normalised(weights)
    products = gram(group)
    lengths = np.sqrt(np.diag(products))
    if len(weights) == 1 or lengths.max() <= eps:
        return summed(weights / (weights.sum() or 1))
    reach = lengths + eps
    shares = np.divide(weights, reach, out=np.zeros_like(reach), where=reach > 0)
    length = _length(products, shares)
    if length and length >= eps:
        return summed(shares * (lengths @ weights) / length)
    if len(weights) == 2:
        return summed(weights)
    raise ModelCheckError(
        "multislerp",
        "the weighted directions of the models cancel out; give other weights",
    )


def karcher(group: Group) -> Blend:
    """Go to the point whose distances on the sphere from all models balance."""
    steps, tolerance = int(group.settings["max_iter"]), group.settings["tol"]
    products = gram(group)
    lengths = np.sqrt(np.diag(products))
    used = lengths > tolerance
    if not used.any():
        return summed(np.full(len(lengths), 1 / len(lengths)))
    inverse = np.where(used, 1 / np.where(used, lengths, 1), 0)
    units = products * np.outer(inverse, inverse)
    mean = _balanced(units, used / used.sum(), steps, tolerance)
    coefficients: Numbers = lengths.mean() * mean * inverse
    return summed(coefficients)


def _balanced(units: Numbers, shares: Numbers, steps: int, tolerance: float) -> Numbers:
    """Return the mean of unit vectors on the sphere as their coefficients.

    `units` are the products of the vectors. Each step goes along the mean of the ways
    to all vectors, until that is no longer than the tolerance.
    """
    length = _length(units, shares)
    first = np.eye(len(shares))[np.argmax(shares > 0)]
    mean = first if length <= tolerance else shares / length
    for _ in range(steps):
        cosines = np.clip(units @ mean, -1, 1)
        angles = np.arccos(cosines)
        apart = (angles > tolerance) & (shares > 0)
        pull = np.zeros_like(shares)
        pull[apart] = (shares * angles)[apart] / np.sin(angles[apart])
        tangent = pull - (pull @ cosines) * mean
        length = _length(units, tangent)
        if length <= tolerance:
            break
        mean = math.cos(length) * mean + math.sin(length) / length * tangent
        mean /= _length(units, mean)
    return mean


def _length(units: Numbers, coefficients: Numbers) -> float:
    return math.sqrt(max(float(coefficients @ units @ coefficients), 0.0))


def nuslerp(group: Group) -> Blend:
    """Go from one model to the other on an arc, seen from the base if there is one.

    The whole tensors are the vectors, or with `nuslerp_flatten` off their rows, or with
    `nuslerp_row_wise` their columns.
    """
    weights = group.settings.each("weight")
    t = 0.5 if abs(weights.sum()) < 1e-6 else weights[1] / weights.sum()
    if group.settings["nuslerp_flatten"]:
        return _arced(t, _lines(gram(group)))
    if group.settings["nuslerp_row_wise"] and len(group.shape) > 1:
        return _arced(t, group.folded(lambda piece: _products(piece, axis=0)))
    return lambda piece: _arced(t, _products(piece, axis=1))(piece)


def _lines(products: Numbers) -> Numbers:
    return np.array([products[0, 0], products[0, 1], products[1, 1]])


def _products(piece: Piece, *, axis: int) -> Numbers:
    """Return the products of both tensors along rows or columns, `(3, rows, 1)`."""
    left, right = (each.astype(np.float64) for each in deltas(piece))
    pairs = ((left, left), (left, right), (right, right))
    return np.stack([(a * b).sum(axis=axis, keepdims=True) for a, b in pairs])


def _arced(t: float, products: Numbers) -> Blend:
    """Return the blend on arcs whose ends have these products."""
    left, both, right = products
    first_length, second_length = np.sqrt(left), np.sqrt(right)
    lengths = np.maximum(first_length, _LEAST) * np.maximum(second_length, _LEAST)
    cosines = np.clip(both / lengths, -1, 1)
    short = np.maximum(first_length, second_length) < _LEAST
    straight = (1 - cosines**2 <= 1e-16) | short
    angles = np.arccos(np.where(straight, 0, cosines))
    first = np.where(straight, 1 - t, np.sin((1 - t) * angles) / np.sin(angles))
    second = np.where(straight, t, np.sin(t * angles) / np.sin(angles))

    def blend(piece: Piece) -> Numbers:
        total = combination([first, second], deltas(piece))
        return total if piece.base is None else grounded(piece.base, total)

    return blend


def model_stock(group: Group) -> Blend:
    """Go from the base towards the mean, as far as the models agree in direction.

    With `filter_wise` each row goes by itself.
    """
    if group.settings["filter_wise"]:
        return lambda piece: _stocked(_row_grams(piece))(piece)
    return _stocked(gram(group))


def _row_grams(piece: Piece) -> Numbers:
    """Return the products of all pairs of deltas in each row, `(n, n, rows, 1)`."""
    wide = [each.astype(np.float64) for each in deltas(piece)]
    return np.array([[(a * b).sum(axis=1, keepdims=True) for a in wide] for b in wide])


def _stocked(products: Numbers) -> Blend:
    count = len(products)
    lengths = np.sqrt(np.einsum("ii...->i...", products))
    upper = zip(*np.triu_indices(count, 1), strict=True)
    cosines = [
        np.clip(products[a, b] / np.maximum(lengths[a] * lengths[b], 1e-6), -1, 1)
        for a, b in upper
    ]
    agreement = np.mean(cosines, axis=0)
    divisor = 1 + (count - 1) * agreement
    singular = np.abs(divisor) < 1e-6
    t = np.where(singular, 0, count * agreement / np.where(singular, 1, divisor))

    def blend(piece: Piece) -> Numbers:
        mean = combination(np.full(count, 1 / count), deltas(piece))
        return grounded(piece.ground, t * mean)

    return blend
