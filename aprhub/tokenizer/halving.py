"""Which words of a vocabulary are two others put together, for all words at once.

A quarter of a million words have a million and a half places to cut them. The parts are
not cut out but known by hashes.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.ir.texts import Texts
from aprhub.ir.words import Places

Ids = NDArray[np.intp]
Halves = tuple[Ids, Ids, Ids]
"""Places among the wanted words, and the ids of the left and the right parts."""

_FACTOR: Final = 0x9E3779B97F4A7C15
"""An odd number with bits all over: 2^64 divided by the golden ratio."""

_MOST: Final = 1 << 24
"""The most bytes that are hashed, which takes 16 bytes each: four vocabularies."""

_AT_ONCE: Final = 1 << 17
"""How many bytes are cut at once, and the rest of a word, to bound the memory."""


def halves(words: Texts, wanted: Ids) -> Halves:
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
class _Hashes:
    """Hashes of all parts of a text.

    `sums` has one more than there are bytes: the hash of all that stands before each.
    One more byte makes a hash the one before times a factor, and the byte. So that of
    a part is what ends behind it, less what ends before it times a power; `powers` are
    those for parts as long as a word. Arithmetic is modulo 2^64.
    """

    sums: NDArray[np.uint64]
    powers: NDArray[np.uint64]

    @classmethod
    def of(cls, texts: Texts) -> Self:
        """Return the hashes of what a column has in its `data`.

        Bytes divided by powers are added up, and the sums multiplied by them.
        """
        sums = np.zeros(len(texts.data) + 1, np.uint64)
        back = _powers(pow(_FACTOR, -1, 1 << 64), _AT_ONCE)
        powers = _powers(_FACTOR, _AT_ONCE + 1)
        for start in range(0, len(texts.data), _AT_ONCE):
            letters = texts.letters[start : start + _AT_ONCE]
            count = len(letters)
            values = back[:count] * (letters.astype(np.uint64) + np.uint64(1))
            found = np.cumsum(values, out=values) * powers[:count]
            sums[start + 1 :][:count] = found + sums[start] * powers[1 : count + 1]
        return cls(sums, _powers(_FACTOR, int(texts.lengths.max(initial=0)) + 1))

    def parts(self, starts: Places, stops: Places) -> NDArray[np.uint64]:
        """Return the hash of each part of a word from a start to before a stop."""
        before = self.sums[starts] * self.powers[stops - starts]
        found: NDArray[np.uint64] = self.sums[stops] - before
        return found


def _powers(factor: int, count: int) -> NDArray[np.uint64]:
    powers = np.full(count, factor, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers, out=powers)


@frozen
class _Hashed:
    """Words, and the hashes of them and of all that is in them.

    `known` are the hashes of the words in rising order, and `order` is whose each of
    them is. `begins` says which bytes begin a character.
    """

    words: Texts
    hashes: _Hashes
    known: NDArray[np.uint64]
    order: Ids
    begins: NDArray[np.bool_]

    @classmethod
    def of(cls, words: Texts) -> Self | None:
        """Return None for too much text, and where two words have one hash."""
        if len(words.data) > _MOST:
            return None
        hashes = _Hashes.of(words)
        whole = hashes.parts(words.starts, words.ends)
        order = np.argsort(whole, kind="stable")
        found = cls(words, hashes, whole[order], order, words.begin_characters)
        distinct = np.count_nonzero(np.diff(found.known)) + bool(len(words))
        count = len(words) if words.are_distinct else len(set(words.pieces()))
        return found if distinct == count else None

    def find(self, start: Ids, stop: Ids) -> tuple[Ids, NDArray[np.bool_]]:
        """Return the ids of the words that parts of the text are, and which are any."""
        hashes = self.hashes.parts(start, stop)
        at = np.maximum(np.searchsorted(self.known, hashes, side="right") - 1, 0)
        return self.order[at], self.known[at] == hashes

    def cuts(self, wanted: Ids) -> tuple[Ids, Ids]:
        """Return which of the wanted words to cut, and where in the text."""
        counts = np.maximum(self.words.lengths[wanted] - 1, 0)
        which = np.repeat(np.arange(len(wanted)), counts)
        behind = np.arange(len(which)) - (np.cumsum(counts) - counts)[which]
        cuts = self.words.ends[wanted[which]] - 1 - behind
        between = self.begins[cuts]
        return which[between], cuts[between]


def _found(hashed: _Hashed, words: Texts, wanted: Ids) -> Iterator[Halves]:
    starts, ends = words.starts, words.ends
    turns = np.cumsum(words.lengths[wanted]) // _AT_ONCE
    bounds = [0, *(np.flatnonzero(np.diff(turns)) + 1).tolist(), len(wanted)]
    for first, stop in pairwise(bounds):
        some = wanted[first:stop]
        which, cut = hashed.cuts(some)
        right, known = hashed.find(cut, ends[some[which]])
        which, cut, right = which[known], cut[known], right[known]
        left, known = hashed.find(starts[some[which]], cut)
        which, left, right = which[known], left[known], right[known]
        same = _make(words, some[which], left, right)
        yield first + which[same], left[same], right[same]


def _make(words: Texts, made: Ids, left: Ids, right: Ids) -> NDArray[np.bool_]:
    """Return which parts really make their word: equal hashes may deceive."""
    both, parts = words.take(made), words.take(np.column_stack((left, right)).ravel())
    if both.data == parts.data and np.array_equal(both.ends, parts.ends[1::2]):
        return np.ones(len(made), np.bool_)
    halved = iter(parts)
    return np.array([next(halved) + next(halved) == word for word in both], np.bool_)


def _cut(words: Texts, wanted: Ids) -> Iterator[Halves]:
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
