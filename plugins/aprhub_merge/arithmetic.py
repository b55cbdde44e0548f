"""Arithmetic of deltas: what each model learnt is thinned out, weighed and added."""

from collections.abc import Callable

import numpy as np

from aprhub.api import Blend, Group, Numbers, Piece
from aprhub_merge.sparsity import (
    Keep,
    all_kept,
    at_random,
    by_rank_at_random,
    largest,
    without_outliers,
)
from aprhub_merge.sums import added, agreeing, deltas, grounded, totalled

Sparsity = Callable[[Group], list[Keep]]


def _arithmetic(group: Group, sparsity: Sparsity, *, consensus: bool) -> Blend:
    """Return the base plus the weighted deltas, thinned out, of one sign if asked."""
    settings = group.settings
    weights, kept = settings.each("weight"), sparsity(group)
    scales = weights * (_restored(group, kept) if settings["rescale"] else 1.0)
    add = _agreed if consensus else _summed

    def blend(piece: Piece) -> Numbers:
        delta, divisor = add(_scaled(piece, kept, scales), weights)
        if settings["normalize"]:
            delta /= divisor
        if settings["lambda"] != 1:
            delta *= settings["lambda"]
        return grounded(piece.ground, delta)

    return blend


def _scaled(piece: Piece, kept: list[Keep], scales: Numbers) -> list[Numbers]:
    parts = []
    for delta, keep, scale in zip(deltas(piece), kept, scales, strict=True):
        delta *= keep(piece, delta)
        parts.append(delta.astype(np.float64))
        parts[-1] *= scale
    return parts


def _summed(parts: list[Numbers], weights: Numbers) -> tuple[Numbers, Numbers]:
    whole = weights.sum()
    divisor = np.array(1.0 if abs(whole) < 1e-8 else whole)
    return totalled(*parts), divisor


def _agreed(parts: list[Numbers], weights: Numbers) -> tuple[Numbers, Numbers]:
    """Add up what has the sign of the sum, and the weights of those that have it.

    The parts are changed: room that was just used is faster than new one.
    """
    up, masks = added(parts) >= 0, []
    for part, weight in zip(parts, weights, strict=True):
        masks.append(agreeing(up, part).astype(np.float64))
        part *= masks[-1]
        masks[-1] *= weight
    divisor = totalled(*masks)
    divisor += divisor == 0
    return totalled(*parts), divisor


def _restored(group: Group, kept: list[Keep]) -> Numbers:
    """Return by how much each delta has to grow to have its sum of magnitudes back."""

    def magnitudes(piece: Piece) -> Numbers:
        pairs = zip(deltas(piece), kept, strict=True)
        sizes = ((np.abs(delta), keep(piece, delta)) for delta, keep in pairs)
        return np.array(
            [
                (size.sum(dtype=np.float64), size.sum(dtype=np.float64, where=mask))
                for size, mask in sizes
            ]
        )

    before, after = group.folded(magnitudes).T
    small = (before < 1e-7) | (after < 1e-7)
    return np.where(small, 1.0, before / np.where(small, 1.0, after))


def task_arithmetic(group: Group) -> Blend:
    """Add the deltas of all models to the base."""
    return _arithmetic(group, all_kept, consensus=False)


def ties(group: Group) -> Blend:
    """Add the largest elements of each delta that have the prevailing sign."""
    return _arithmetic(group, largest, consensus=True)


def dare_linear(group: Group) -> Blend:
    """Add random elements of each delta."""
    return _arithmetic(group, at_random, consensus=False)


def dare_ties(group: Group) -> Blend:
    """Add random elements of each delta that have the prevailing sign."""
    return _arithmetic(group, at_random, consensus=True)


def della(group: Group) -> Blend:
    """Add random elements, sooner large ones, that have the prevailing sign."""
    return _arithmetic(group, by_rank_at_random, consensus=True)


def della_linear(group: Group) -> Blend:
    """Add random elements of each delta, sooner large ones."""
    return _arithmetic(group, by_rank_at_random, consensus=False)


def breadcrumbs(group: Group) -> Blend:
    """Add the elements that are neither small nor outliers."""
    return _arithmetic(group, without_outliers, consensus=False)


def breadcrumbs_ties(group: Group) -> Blend:
    """Add those of them that have the prevailing sign."""
    return _arithmetic(group, without_outliers, consensus=True)
