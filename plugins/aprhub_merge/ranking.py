"""Ranks in tensors of any size: which elements are the largest, exactly.

A radix selection: as bits, floats without a sign have the order of their values. The
first look counts the upper halves of the bits, the second the lower halves where the
upper are those wanted. Equal values are in the order of their positions.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

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
        least = np.float32(self.value)
        above: NDArray[np.bool_] = values >= least
        earlier = slice(max(self.position - piece.start, 0))
        above.reshape(-1)[earlier] &= values.reshape(-1)[earlier] > least
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


def _value(wanted: _Wanted) -> float:
    return float(np.array(wanted.bits, np.uint32).view(np.float32))


def cuts(group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]) -> list[Cut]:
    """Return the elements at some ranks, counted from the smallest, which has rank 0.

    A rank is the number of a key and the rank in it; that of the size is above all.
    Reads the tensor twice, and again where a value occurs more often than is wanted.
    """
    size = math.prod(group.shape)
    inside = [(key, rank) for key, rank in ranks if 0 < rank < size]
    wanted = _found(group, keys, inside)
    places = _positions(group, keys, wanted)
    found = iter([Cut(*pair) for pair in zip(map(_value, wanted), places, strict=True)])
    ends = (Cut(0.0), Cut(np.inf, size))
    return [next(found) if 0 < rank < size else ends[rank >= size] for _, rank in ranks]


def values_at(
    group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]
) -> list[float]:
    """Return the values of the elements at some ranks, which are all in the tensor."""
    return [*map(_value, _found(group, keys, ranks))]


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


@frozen
class _Place:
    """Positions among which the element is that has a rank among equal ones."""

    wanted: _Wanted
    rank: int
    within: range

    def counts(
        self, keys: Sequence[Values], start: int, step: int
    ) -> NDArray[np.int64]:
        """Return how often the value occurs in each step of the positions."""
        equal = np.flatnonzero(_bits(keys[self.wanted.key]) == self.wanted.bits)
        places = equal + start - self.within.start
        inside = places[(places >= 0) & (places < len(self.within))]
        return np.bincount(inside // step, minlength=-(-len(self.within) // step))

    def narrowed(self, counts: NDArray[np.int64], step: int) -> "_Place":
        """Return the step that the rank falls into."""
        upto = np.cumsum(counts)
        place = int(np.searchsorted(upto, self.rank, side="right"))
        below = int(upto[place - 1]) if place else 0
        within = self.within[place * step : (place + 1) * step]
        return _Place(self.wanted, self.rank - below, within)


def _positions(group: Group, keys: Keys, wanted: Sequence[_Wanted]) -> list[int]:
    """Return where the elements stand that have their ranks among equal ones."""
    whole = range(math.prod(group.shape))
    tied = [_Place(each, each.rank, whole) for each in wanted if each.rank]
    found = (_settled(group, keys, each) for each in _narrowed(group, keys, tied))
    return [next(found) if each.rank else 0 for each in wanted]


def _settled(group: Group, keys: Keys, place: _Place) -> int:
    while len(place.within) > 1:
        (place,) = _narrowed(group, keys, [place])
    return place.within.start


def _narrowed(group: Group, keys: Keys, places: Sequence[_Place]) -> list[_Place]:
    """Look once at the positions of all places, which have the same ones."""
    if not places:
        return []
    within = places[0].within
    step = -(-len(within) // _BINS)

    def count(piece: Piece) -> NDArray[np.int64]:
        found = keys(piece)
        return np.stack([each.counts(found, piece.start, step) for each in places])

    counted = group.folded(count, within)
    return [
        each.narrowed(counts, step)
        for each, counts in zip(places, counted, strict=True)
    ]
