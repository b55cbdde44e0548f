"""Ranks in tensors of any size: which elements are the largest, exactly.

As bits, floats without a sign have the order of their values. A sample tells between
which bits the element at a rank should be; a look at the whole tensor counts what is
below them, and how often which of them occur. If there are too many to count, or the
sample was wrong, it looks again, closer. Equal values are in the order of positions.
"""

import math
from collections.abc import Callable, Sequence
from operator import add
from typing import Final

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from aprhub.api import Group, Piece, Values

Keys = Callable[[Piece], Sequence[Values]]
"""Returns arrays of f32 without a sign, of which the ranks are wanted."""

_END: Final = 1 << 32
"""All bits are below."""
_FEW: Final = 11
"""How many bits tell the bins apart that are counted in each piece."""

_SAMPLED: Final = 1 << 12
"""How many elements are sampled in one place."""
_APART: Final = 1 << 20
"""How many elements have a place; a tensor has about 8 at least."""
_SLACK: Final = 16
"""By which share of a sample its ranks may be wrong: one of so many.

A closer guess saves nothing: numpy is fastest to pick a tenth of an array or more.
"""


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
class _Tally:
    """What a piece has in a window: how much is below, and which bits how often."""

    positions: range
    below: int
    bits: NDArray[np.uint32]
    counts: NDArray[np.uint32]


@frozen
class _Window:
    """Where the element at a rank of a key is looked for: from `low` to below `high`.

    The bits there are counted in bins of 2 to the `shift`. It is `found` if it is known
    to be there, and there is only one value.
    """

    key: int
    rank: int
    low: int = 0
    high: int = _END
    shift: int = 0
    found: bool = False

    def between(self, low: int, high: int) -> "_Window":
        """Return the same with other bits, few enough to be counted."""
        shift = max((high - low - 1).bit_length() - _FEW, 0)
        return _Window(self.key, self.rank, low, high, shift)

    def tally(self, keys: Sequence[Values], piece: Piece) -> _Tally:
        """Count what a piece has."""
        bits = _bits(keys[self.key])
        above = bits - np.uint32(self.low)
        # Indexing by a mask takes a branch for each element.
        inside = np.compress(above < self.high - self.low, above)
        bins, counts = np.unique(inside >> self.shift, return_counts=True)
        return _Tally(
            range(piece.start, piece.start + bits.size),
            int(np.count_nonzero(bits < self.low)),
            self.low + (bins << self.shift),
            counts.astype(np.uint32),
        )

    def narrowed(self, pieces: Sequence[_Tally]) -> "_Window":
        """Return the bin that the rank falls into, or all bits on the right side."""
        rank = self.rank - sum(piece.below for piece in pieces)
        bits = np.concatenate([piece.bits for piece in pieces])
        order = np.argsort(bits)
        upto = np.cumsum(np.concatenate([piece.counts for piece in pieces])[order])
        place = int(np.searchsorted(upto, rank, side="right"))
        if rank < 0:
            return self.between(0, self.low)
        if place == len(upto):
            return self.between(self.high, _END)
        low = int(bits[order[place]])
        narrow = self.between(low, low + (1 << self.shift))
        return evolve(narrow, found=self.shift == 0)

    @property
    def value(self) -> float:
        """The number with the first of the bits."""
        return float(np.array(self.low, np.uint32).view(np.float32))


def cuts(group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]) -> list[Cut]:
    """Return the elements at some ranks, counted from the smallest, which has rank 0.

    A rank is the number of a key and the rank in it; that of the size is above all.
    Reads the tensor once where it has few values near those at the ranks.
    """
    size = math.prod(group.shape)
    inside = [(key, rank) for key, rank in ranks if 0 < rank < size]
    found = iter([_cut(group, keys, *each) for each in _found(group, keys, inside)])
    ends = (Cut(0.0), Cut(np.inf, size))
    return [next(found) if 0 < rank < size else ends[rank >= size] for _, rank in ranks]


def values_at(
    group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]
) -> list[float]:
    """Return the values of the elements at some ranks, which are all in the tensor."""
    return [window.value for window, _ in _found(group, keys, ranks)]


def _found(
    group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]
) -> list[tuple[_Window, Sequence[_Tally]]]:
    """Return the elements at some ranks, and what each piece has around them."""
    windows = _guessed(group, keys, ranks) if ranks else []
    pieces: Sequence[Sequence[_Tally]] = []
    while not all(window.found for window in windows):
        pieces = [*zip(*_tallied(group, keys, windows), strict=True)]
        windows = [*map(_Window.narrowed, windows, pieces)]
    return [*zip(windows, pieces, strict=True)]


def _tallied(
    group: Group, keys: Keys, windows: Sequence[_Window]
) -> list[list[_Tally]]:
    def tally(piece: Piece) -> list[list[_Tally]]:
        found = keys(piece)
        return [[window.tally(found, piece) for window in windows]]

    return group.folded(tally, combine=add)


def _guessed(
    group: Group, keys: Keys, ranks: Sequence[tuple[int, int]]
) -> list[_Window]:
    """Return in which bits the elements at some ranks are, judged by a sample."""
    sample = _sample(group, keys)
    count = sample.shape[1]
    slack = count // _SLACK
    windows = []
    for key, rank in ranks:
        place = rank * count // math.prod(group.shape)
        near = sample[key, max(place - slack, 0) : place + slack + 1]
        low = int(near[0]) if place > slack else 0
        high = int(near[-1]) + 1 if place + slack < count else _END
        window = _Window(key, rank).between(low, high)
        few = np.count_nonzero(np.diff(near)) < 1 << _FEW
        windows.append(evolve(window, shift=0) if few else window)
    return windows


def _sample(group: Group, keys: Keys) -> NDArray[np.uint32]:
    """Return sorted bits of each key from places all over the tensor."""
    size = math.prod(group.shape)
    step = max(min(size // 8, _APART), *group.shape[-1:], _SAMPLED)
    random = np.random.default_rng(0)
    places = (
        first + int(random.integers(step - _SAMPLED + 1))
        for first in range(0, size, step)
    )
    parts = [_sampled(group, keys, place) for place in places if place < size]
    return np.sort(np.concatenate(parts, axis=1))


def _sampled(group: Group, keys: Keys, place: int) -> NDArray[np.uint32]:
    def bits(piece: Piece) -> NDArray[np.uint32]:
        inside = slice(max(place - piece.start, 0), place + _SAMPLED - piece.start)
        return np.stack([_bits(each)[inside] for each in keys(piece)])

    within = range(place, min(place + _SAMPLED, math.prod(group.shape)))
    return group.folded(bits, within, _joined)


def _joined(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return np.concatenate([left, right], axis=1)


def _bits(values: Values) -> NDArray[np.uint32]:
    return values.reshape(-1).view(np.uint32)


def _cut(group: Group, keys: Keys, window: _Window, pieces: Sequence[_Tally]) -> Cut:
    """Return the element at the rank of a window, which has one value."""
    rank, equal = window.rank, []
    for piece in pieces:
        rank -= piece.below + int(piece.counts[piece.bits < window.low].sum())
        equal.append(int(piece.counts[piece.bits == window.low].sum()))
    if not rank:
        return Cut(window.value)
    upto = np.cumsum(equal)
    place = int(np.searchsorted(upto, rank, side="right"))
    within = rank - int(upto[place]) + equal[place]

    def position(piece: Piece) -> int:
        same = np.flatnonzero(_bits(keys(piece)[window.key]) == window.low)
        return piece.start + int(same[within])

    return Cut(window.value, group.folded(position, pieces[place].positions))
