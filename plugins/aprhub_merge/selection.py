"""Methods that choose, element by element, how much of a model to take."""

import math
from typing import Final

import numpy as np

from aprhub.api import Blend, Group, Numbers, Piece, Values
from aprhub_merge.ranking import Cut, cuts, values_at
from aprhub_merge.sums import added, agreeing, combination, deltas, grounded

_QUARTILES: Final = (0.25, 0.5, 0.75)


def nearswap(group: Group) -> Blend:
    """Take the model where it is near the base; the farther, the less."""
    t = group.settings["t"]

    def blend(piece: Piece) -> Numbers:
        base, model = piece.ground, piece.models[0]
        apart = np.abs(model - base).astype(np.float64)
        share = np.clip(t / np.maximum(apart, 1e-6), 0, 1)
        total: Numbers = share * model + (1 - share) * base
        return total

    return blend


def arcee_fusion(group: Group) -> Blend:
    """Take the model where its difference is of outstanding importance."""
    size = math.prod(group.shape)
    ranks = [(0, int(quarter * (size - 1))) for quarter in _QUARTILES]
    found = values_at(group, lambda piece: [_importance(piece)], ranks)
    low, middle, high = found
    threshold = np.float32(middle + 1.5 * (high - low))

    def blend(piece: Piece) -> Values:
        chosen = _importance(piece) >= threshold
        return np.where(chosen, piece.models[0], piece.ground)

    return blend


def _importance(piece: Piece) -> Values:
    """Return the change of each element times how much its row's softmax diverges."""
    model, base = piece.models[0], piece.ground
    p, q = _softmax(model) + 1e-8, _softmax(base) + 1e-8
    divergence = (p * np.log(p / q)).sum(axis=1, keepdims=True)
    weight: Numbers = np.abs(np.abs(model - base) * divergence)
    return weight.astype(np.float32)


def _softmax(rows: Values) -> Numbers:
    powers: Numbers = np.exp(
        (rows - rows.max(axis=1, keepdims=True)).astype(np.float64)
    )
    shares: Numbers = powers / powers.sum(axis=1, keepdims=True)
    return shares


def sce(group: Group) -> Blend:
    """Add the deltas of the prevailing sign where they vary most, weighed by energy."""
    selected = _most_varied(group)

    def chosen(piece: Piece) -> list[Values]:
        parts = deltas(piece)
        if selected is None:
            return parts
        mask = selected.above(_variance(parts), piece)
        return [np.where(mask, part, np.float32(0)) for part in parts]

    energies = group.folded(lambda piece: _energies(chosen(piece)))
    energies = energies / max(math.prod(group.shape), 1)
    count, total = len(energies), float(energies.sum())
    shares = energies / total if total >= 1e-6 else np.full(count, 1 / count)

    def blend(piece: Piece) -> Numbers:
        parts = chosen(piece)
        up = added(parts) >= 0
        masks = [agreeing(up, part) for part in parts]
        weights = [share * mask for share, mask in zip(shares, masks, strict=True)]
        divisor = np.maximum(added(weights), 1e-6)
        return grounded(piece.ground, combination(weights, parts) / divisor)

    return blend


def _most_varied(group: Group) -> Cut | None:
    """Return where the share `select_topk` of the elements that vary at all begins."""
    share = group.settings["select_topk"]
    if share >= 1:
        return None
    size = math.prod(group.shape)

    def varied(piece: Piece) -> Numbers:
        return np.array(np.count_nonzero(_variance(deltas(piece))))

    count = int(int(group.folded(varied)) * share)
    if not count:
        return Cut(np.inf)
    (found,) = cuts(
        group, lambda piece: [_variance(deltas(piece))], [(0, size - count)]
    )
    return found


def _variance(parts: list[Values]) -> Values:
    count = len(parts)
    mean = combination(np.full(count, 1 / count), parts)
    squares = [np.square(part - mean) for part in parts]
    return combination(np.full(count, 1 / count), squares).astype(np.float32)


def _energies(parts: list[Values]) -> Numbers:
    return np.array([np.square(part, dtype=np.float64).sum() for part in parts])
