"""Ranks in tensors of any size: which elements are the largest, exactly.

A radix selection: as bits, floats without a sign have the order of their values. The
first look counts the upper halves of the bits, the second the lower halves where the
upper are those wanted. Equal values are in the order of their positions.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.api import Group, Piece, Values

Keys = Callable[[Piece], Sequence[Values]]
"""Returns arrays of f32 without a sign, of which the ranks are wanted."""

_HALF: Final = 16
_BINS: Final = 1 << _HALF


@frozen
class Cut:
    """An element that divides all others: smaller ones are below, the rest above.

    Of equal values, those from `position` on are above.
    """

    value: float
    position: int = 0

    def above(self, values: Values, piece: Piece) -> NDArray[np.bool_]:
        """Return which elements of a piece are this one or above it."""
        if not self.position:
            reached: NDArray[np.bool_] = values >= np.float32(self.value)
            return reached
        equal = values == np.float32(self.value)
        later: NDArray[np.bool_] = piece.positions() >= np.uint64(self.position)
        above: NDArray[np.bool_] = (values > np.float32(self.value)) | (equal & later)
        return above


@frozen
class _Wanted:
    """A rank among the elements of one key, as far as it has been narrowed down."""

    key: int
    rank: int
    bits: int = 0

    def narrowed(self, counts: NDArray[np.int64], shift: int) -> "_Wanted":
        """Return the same with the bits of the bin that the rank falls into."""
        upto = np.cumsum(counts)
        place = int(np.searchsorted(upto, self.rank, side="right"))
        below = int(upto[place - 1]) if place else 0
        return _Wanted(self.key, self.rank - below, self.bits | place << shift)

    @property
    def value(self) -> float:
        return float(np.array(self.bits, np.uint32).view(np.float32))


def cuts(group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]) -> list[Cut]:
    """Return the elements at some ranks, counted from the smallest, which has rank 0.

    A rank is the number of a key and the rank in it; that of the size is above all.
    Reads the tensor twice, and again where a value occurs more often than is wanted.
    """
    size = math.prod(group.shape)
    inside = [(key, rank) for key, rank in ranks if 0 < rank < size]
    found = iter(
        [
            Cut(each.value, _position(group, keys, each))
            for each in _found(group, keys, inside)
        ]
    )
    ends = (Cut(0.0), Cut(np.inf, size))
    return [next(found) if 0 < rank < size else ends[rank >= size] for _, rank in ranks]


def values_at(
    group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]
) -> list[float]:
    """Return the values of the elements at some ranks, which are all in the tensor."""
    return [each.value for each in _found(group, keys, ranks)]


def _found(group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]) -> list[_Wanted]:
    wanted = [_Wanted(key, rank) for key, rank in ranks]
    upper = group.folded(lambda piece: _upper(keys(piece)))
    wanted = [each.narrowed(upper[each.key], _HALF) for each in wanted]
    lower = group.folded(lambda piece: _lower(keys(piece), wanted))
    return [
        each.narrowed(counts, 0) for each, counts in zip(wanted, lower, strict=True)
    ]


def _bits(values: Values) -> NDArray[np.uint32]:
    return values.reshape(-1).view(np.uint32)


def _upper(keys: Sequence[Values]) -> NDArray[np.int64]:
    return np.stack(
        [np.bincount(_bits(each) >> _HALF, minlength=_BINS >> 1) for each in keys]
    )


def _lower(keys: Sequence[Values], wanted: Sequence[_Wanted]) -> NDArray[np.int64]:
    found = np.zeros((len(wanted), _BINS), np.int64)
    for place, each in enumerate(wanted):
        bits = _bits(keys[each.key])
        inside = bits[bits >> _HALF == each.bits >> _HALF]
        found[place] = np.bincount(inside & (_BINS - 1), minlength=_BINS)
    return found


def _position(group: Group, keys: Keys, wanted: _Wanted) -> int:
    """Return where the element stands that has its rank among equal ones."""
    if not wanted.rank:
        return 0
    within, rank = range(math.prod(group.shape)), wanted.rank
    while len(within) > 1:
        step = -(-len(within) // _BINS)
        counts = group.folded(_occurrences(keys, wanted, within, step), within)
        upto = np.cumsum(counts)
        place = int(np.searchsorted(upto, rank, side="right"))
        rank -= int(upto[place - 1]) if place else 0
        within = within[place * step : (place + 1) * step]
    return within.start


def _occurrences(
    keys: Keys, wanted: _Wanted, within: range, step: int
) -> Callable[[Piece], NDArray[Any]]:
    """Return what counts how often a value occurs in each step of the positions."""

    def count(piece: Piece) -> NDArray[np.int64]:
        equal = np.flatnonzero(_bits(keys(piece)[wanted.key]) == wanted.bits)
        places = equal + piece.start - within.start
        inside = places[(places >= 0) & (places < len(within))]
        return np.bincount(inside // step, minlength=-(-len(within) // step))

    return count
