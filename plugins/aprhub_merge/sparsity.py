"""Which elements of a delta are kept: the largest, a middle range, random ones."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from aprhub.api import Group, Numbers, Piece, UsageError, Values
from aprhub_merge.chance import start, uniform
from aprhub_merge.ranking import cuts
from aprhub_merge.sums import deltas

Mask = NDArray[np.bool_]
Keep = Callable[[Piece, Values], Mask]
"""Says which elements are kept, given a piece and the delta of one model in it."""


def everything(_piece: Piece, delta: Values) -> Mask:
    """Keep all."""
    return np.ones(delta.shape, np.bool_)


def all_kept(group: Group) -> list[Keep]:
    """Keep all of every model."""
    return [everything for _ in group.settings.own]


def largest(group: Group) -> list[Keep]:
    """Keep the share `density` of the largest, at least one element."""
    size = math.prod(group.shape)
    kept = [
        max(1, int(density * size)) if density > 0 else 0
        for density in group.settings.each("density")
    ]
    return ranked(group, [(size - count, size) for count in kept])


def without_outliers(group: Group) -> list[Keep]:
    """Drop the share `gamma` of the largest, then the smallest, to keep `density`.

    Fewer of the largest are dropped where that leaves too few.
    """
    size = math.prod(group.shape)
    settings = group.settings
    windows = []
    for density, gamma in zip(
        settings.each("density"), settings.each("gamma"), strict=True
    ):
        count = int(density * size)
        first = max(0, size - count - int(gamma * size))
        windows.append((first, first + count))
    return ranked(group, windows)


def ranked(group: Group, windows: Sequence[tuple[int, int]]) -> list[Keep]:
    """Keep of each model the elements of these ranks, from the smallest magnitude."""
    if all(window == (0, math.prod(group.shape)) for window in windows):
        return all_kept(group)
    ranks = [(model, rank) for model, window in enumerate(windows) for rank in window]
    found = cuts(group, _sizes, ranks)
    pairs = zip(found[::2], found[1::2], strict=True)

    def between(piece: Piece, delta: Values, *, model: int) -> Mask:
        low, high = limits[model]
        sizes = np.abs(delta)
        kept = low.above(sizes, piece)
        return kept if math.isinf(high.value) else kept & ~high.above(sizes, piece)

    limits = [*pairs]
    return [partial(between, model=model) for model in range(len(windows))]


def _sizes(piece: Piece) -> list[Values]:
    return [np.abs(delta, out=delta) for delta in deltas(piece)]


def at_random(group: Group) -> list[Keep]:
    """Keep each element with the probability `density`."""
    densities = group.settings.each("density")
    return [
        _chosen(start(group, model), float(density))
        for model, density in enumerate(densities)
    ]


def _chosen(seed: np.uint64, density: float) -> Keep:
    if density >= 1:
        return everything
    return lambda piece, _delta: uniform(seed, piece) < density


def by_rank_at_random(group: Group) -> list[Keep]:
    """Keep elements with a probability around `density` that grows along a row.

    It is smaller by `epsilon` for the least element of a row, and larger by as much
    for the greatest.
    """
    settings = group.settings
    pairs = zip(settings.each("density"), settings.each("epsilon"), strict=True)
    return [
        _leaning(start(group, model), float(density), float(epsilon))
        for model, (density, epsilon) in enumerate(pairs)
    ]


def _leaning(seed: np.uint64, density: float, epsilon: float) -> Keep:
    if density >= 1:
        return everything
    if density <= 0:
        return lambda _piece, delta: np.zeros(delta.shape, np.bool_)
    if density + epsilon >= 1 or density - epsilon <= 0:
        raise UsageError(
            f"density {density:g} plus and minus epsilon {epsilon:g} is not between 0"
            f" and 1; set epsilon below {min(density, 1 - density):g}"
        )
    return lambda piece, delta: (
        uniform(seed, piece) < density - epsilon + _ranks(delta) * 2 * epsilon
    )


def _ranks(delta: Values) -> Numbers:
    """Return the rank of each magnitude in its row: 0 for the least, 1 the greatest."""
    order = np.argsort(np.abs(delta), axis=1, kind="stable")
    ranks = np.empty(delta.shape)
    steps = np.arange(delta.shape[1]) / max(delta.shape[1] - 1, 1)
    np.put_along_axis(ranks, order, steps[None], axis=1)
    return ranks
