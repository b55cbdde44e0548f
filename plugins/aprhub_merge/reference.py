"""The arithmetic of deltas as aprender's `apr merge` has it, under `…:apr` names.

They differ from the methods of the papers: thresholds stand where those have shares
of the elements, counts of signs where those have sums, and random elements are chosen
by aprhub's generator, since the original's is not part of its format.
"""

import math
from collections.abc import Callable

import numpy as np

from aprhub.api import Blend, Group, Numbers, Piece, Values
from aprhub_merge.chance import start, uniform
from aprhub_merge.sums import (
    added,
    agreeing,
    combination,
    deltas,
    grounded,
    summed,
)

_Rates = Callable[[Values, int], Numbers]
"""Returns with which probability each element of a model's delta is dropped."""


def _greatest(group: Group) -> Numbers:
    """Return the largest magnitude in each delta."""
    return group.folded(
        lambda piece: np.array(
            [np.abs(each).max(initial=0) for each in deltas(piece)], np.float64
        ),
        combine=np.maximum,
    )


def ties(group: Group) -> Blend:
    """Keep what reaches a share of the largest element; signs are counted.

    What agrees is divided by the number of all models.
    """
    least = group.settings["density"] * _greatest(group)

    def blend(piece: Piece) -> Numbers:
        pairs = zip(deltas(piece), least, strict=True)
        parts = [each * (np.abs(each) >= low) for each, low in pairs]
        count = len(parts)
        up = added([*map(np.sign, parts)]) >= 0
        agreed = [part * agreeing(up, part) for part in parts]
        return grounded(piece.ground, combination(np.full(count, 1 / count), agreed))

    return blend


def _shares(group: Group) -> Numbers:
    """Return the weights; a model without one has an equal share."""
    weights = group.settings.each("weight")
    return np.where(np.isnan(weights), 1 / len(weights), weights)


def dare(group: Group) -> Blend:
    """Drop elements at random and make up for it by the rate of dropping."""
    rate = group.settings["drop_rate"]
    return _dropped(group, lambda delta, _model: np.full(delta.shape, rate))


def della(group: Group) -> Blend:
    """Drop elements at random, the larger the less."""
    rate = group.settings["drop_rate"]
    greatest = np.maximum(_greatest(group), np.finfo(np.float64).tiny)
    return _dropped(
        group, lambda delta, model: rate * (1 - np.abs(delta) / greatest[model])
    )


def _dropped(group: Group, rates: _Rates) -> Blend:
    shares = _shares(group)
    seeds = [start(group, model) for model in range(len(shares))]

    def blend(piece: Piece) -> Numbers:
        parts = []
        for model, delta in enumerate(deltas(piece)):
            rate = rates(delta, model)
            kept = uniform(seeds[model], piece) >= rate
            parts.append(np.where(kept, delta / np.maximum(1 - rate, 1e-6), 0))
        return grounded(piece.ground, combination(shares, parts))

    return blend


def task_arithmetic(group: Group) -> Blend:
    """Add the deltas to the base, each times its scale."""
    return summed(group.settings.each("scale"))


def breadcrumbs(group: Group) -> Blend:
    """Keep what is within `k` standard deviations of the mean."""
    size, scales = max(math.prod(group.shape), 1), group.settings.each("scale")
    first, second = group.folded(_moments) / size
    widths = group.settings["k"] * np.sqrt(np.maximum(second - first**2, 0))

    def blend(piece: Piece) -> Numbers:
        triples = zip(deltas(piece), first, widths, strict=True)
        parts = [np.where(np.abs(d - mean) <= w, d, 0) for d, mean, w in triples]
        return grounded(piece.ground, combination(scales, parts))

    return blend


def _moments(piece: Piece) -> Numbers:
    wide = [each.astype(np.float64) for each in deltas(piece)]
    return np.array([[each.sum() for each in wide], [(d * d).sum() for d in wide]])
