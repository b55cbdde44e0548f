"""Which words of a vocabulary are two others put together, for all words at once.

A quarter of a million words have a million and a half places to cut them. The parts are
not cut out but known by hashes: of the polynomial kind, where the hash of a part
follows from those of what ends at its two ends. Arithmetic is modulo 2^64.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Ids = NDArray[np.intp]
Halves = tuple[Ids, Ids, Ids]
"""Places among the wanted words, and the ids of the left and the right parts."""

_FACTOR: Final = 0x9E3779B97F4A7C15
"""An odd number with bits all over: 2^64 divided by the golden ratio."""

_INVERSE: Final = pow(_FACTOR, -1, 1 << 64)

_MOST: Final = 1 << 23
"""The most characters that are hashed, which takes 40 bytes each: four vocabularies."""

_AT_ONCE: Final = 1 << 17
"""How many characters are cut at once, and the rest of a word, to bound the memory."""


def halves(words: Sequence[str], wanted: Ids) -> Halves:
    """Return every way to make the words with the `wanted` ids from two others.

    Ways are in the order of the wanted words, and for each of them the longest left
    part goes first. A word that is there twice has its last id.
    """
    hashed = _Hashed.of(words)
    found = list(_found(hashed, words, wanted) if hashed else _cut(words, wanted))
    if not found:
        return _ids(()), _ids(()), _ids(())
    place, left, right = map(np.concatenate, zip(*found, strict=True))
    return place, left, right


@frozen
class _Hashed:
    """Words one behind the other, and the hashes of them and of all that is in them.

    `sums` has one more than there are characters: what stands before each, added up,
    each character times a power; `scales` undo the powers. `known` are the hashes of
    the words in rising order, and `order` is whose each of them is.
    """

    starts: Ids
    sizes: Ids
    sums: NDArray[np.uint64]
    scales: NDArray[np.uint64]
    known: NDArray[np.uint64]
    order: Ids

    @classmethod
    def of(cls, words: Sequence[str]) -> Self | None:
        """Return None for too much text, and where two words have one hash."""
        if sum(map(len, words)) > _MOST:
            return None
        text = "".join(words).encode("utf-32-le", "surrogatepass")
        characters = np.frombuffer(text, "<u4").astype(np.uint64) + np.uint64(1)
        sizes = np.fromiter(map(len, words), np.intp, len(words))
        starts = np.cumsum(sizes) - sizes
        sums = np.zeros(len(characters) + 1, np.uint64)
        np.cumsum(characters * _powers(_FACTOR, len(characters)), out=sums[1:])
        scales = _powers(_INVERSE, len(sums))
        whole = (sums[starts + sizes] - sums[starts]) * scales[starts]
        order = np.argsort(whole, kind="stable")
        found = cls(starts, sizes, sums, scales, whole[order], order)
        distinct = np.count_nonzero(np.diff(found.known)) + bool(len(words))
        return found if distinct == len(set(words)) else None

    def find(self, start: Ids, stop: Ids) -> tuple[Ids, NDArray[np.bool_]]:
        """Return the ids of the words that parts of the text are, and which are any."""
        hashes = (self.sums[stop] - self.sums[start]) * self.scales[start]
        at = np.maximum(np.searchsorted(self.known, hashes, side="right") - 1, 0)
        return self.order[at], self.known[at] == hashes

    def cuts(self, wanted: Ids) -> tuple[Ids, Ids]:
        """Return which of the wanted words to cut, and where in the text."""
        counts = np.maximum(self.sizes[wanted] - 1, 0)
        which = np.repeat(np.arange(len(wanted)), counts)
        behind = np.arange(len(which)) - (np.cumsum(counts) - counts)[which]
        stops = (self.starts + self.sizes)[wanted[which]]
        return which, stops - 1 - behind


def _powers(factor: int, count: int) -> NDArray[np.uint64]:
    powers = np.full(count, factor, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def _found(hashed: _Hashed, words: Sequence[str], wanted: Ids) -> Iterator[Halves]:
    turns = np.cumsum(hashed.sizes[wanted]) // _AT_ONCE
    bounds = [0, *(np.flatnonzero(np.diff(turns)) + 1).tolist(), len(wanted)]
    for first, stop in pairwise(bounds):
        some = wanted[first:stop]
        which, cut = hashed.cuts(some)
        right, known = hashed.find(cut, (hashed.starts + hashed.sizes)[some[which]])
        which, cut, right = which[known], cut[known], right[known]
        left, known = hashed.find(hashed.starts[some[which]], cut)
        which, left, right = which[known], left[known], right[known]
        same = _make(words, some[which], left, right)
        yield first + which[same], left[same], right[same]


def _make(words: Sequence[str], made: Ids, left: Ids, right: Ids) -> NDArray[np.bool_]:
    """Return which parts really make their word: equal hashes may deceive."""
    ids = zip(made.tolist(), left.tolist(), right.tolist(), strict=True)
    same = (words[one] + words[other] == words[both] for both, one, other in ids)
    return np.fromiter(same, np.bool_, len(made))


def _cut(words: Sequence[str], wanted: Ids) -> Iterator[Halves]:
    ids = {word: number for number, word in enumerate(words)}
    for place, number in enumerate(wanted.tolist()):
        found = list(_parts(words[number], ids))
        if found:
            left, right = zip(*found, strict=True)
            yield _ids([place] * len(found)), _ids(left), _ids(right)


def _parts(word: str, ids: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for cut in range(len(word) - 1, 0, -1):
        left, right = ids.get(word[:cut]), ids.get(word[cut:])
        if left is not None and right is not None:
            yield left, right


def _ids(numbers: Sequence[int]) -> Ids:
    return np.array(numbers, np.intp)
