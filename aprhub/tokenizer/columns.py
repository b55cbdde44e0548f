"""The vocabulary and the merge rules of a `tokenizer.json`, each as columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.ir.texts import BLOCK, Texts
from aprhub.ir.words import Places


@frozen(eq=False)
class Numbered(Mapping[str, int]):
    """Words with their ids, in the order of a file; no word is there twice."""

    words: Texts
    numbers: Places

    @classmethod
    def of(cls, ids: Mapping[str, int]) -> Self:
        """Return a mapping as columns; raises OverflowError for an id too large."""
        numbers = np.fromiter(ids.values(), np.int64, len(ids))
        return cls(Texts.of(ids), numbers)

    @classmethod
    def paired(cls, words: Texts, numbers: Places) -> Self:
        """Return words with their ids; one that is there twice has its last id."""
        if words.are_distinct:
            return cls(words, numbers)
        return cls.of(dict(zip(words, numbers.tolist(), strict=True)))

    @cached_property
    def _kept_index(self) -> dict[bytes, int]:
        return self._index()

    def _index(self) -> dict[bytes, int]:
        return dict(zip(self.words.pieces(), self.numbers.tolist(), strict=True))

    def some(self, words: Iterable[str]) -> dict[str, int]:
        """Return the ids of those of some words that have one."""
        places = self.words.places_of(words)
        return {word: int(self.numbers[place]) for word, place in places.items()}

    @property
    def plain(self) -> dict[str, int]:
        """The same as a dictionary."""
        return dict(zip(self.words, self.numbers.tolist(), strict=True))

    def blocks(self) -> Iterator[dict[str, int]]:
        """Yield the same as several dictionaries."""
        place = 0
        for words in self.words.blocks():
            stop = place + len(words)
            yield type(self)(words, self.numbers[place:stop]).plain
            place = stop

    def ids_of(self, words: Texts) -> NDArray[np.int64]:
        """Return the ids of many words; raises KeyError for one that has none."""
        pieces = chain.from_iterable(block.pieces() for block in words.blocks())
        # To keep the index would take as much room as a hundred bytes for each word.
        found = map(self._index().__getitem__, pieces)
        return np.fromiter(found, np.int64, len(words))

    def __getitem__(self, word: str) -> int:
        """Return the id of a word."""
        return self._kept_index[word.encode(errors="surrogatepass")]

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        """Yield the words."""
        return iter(self.words)


@frozen(eq=False)
class Rules(Sequence[Any]):
    """Merge rules whose parts have no spaces: texts with one between the parts.

    `paired` says that the file lists pairs in place of texts; so does this sequence.
    """

    texts: Texts
    paired: bool

    @classmethod
    def of(cls, words: Texts, left: Places, right: Places) -> Self:
        """Return the pairs of words at some places; the words have no spaces."""
        blocks = []
        for start in range(0, len(left), BLOCK):
            some = slice(start, start + BLOCK)
            places = np.column_stack((left[some], right[some])).ravel()
            blocks.append(spaced_pairs(words.take(places)))
        return cls(Texts.joined(blocks), paired=True)

    @property
    def made(self) -> Texts:
        """The words that the rules make."""
        data = self.texts.data.replace(b" ", b"")
        return Texts(data, self.texts.ends - np.arange(1, len(self) + 1))

    @property
    def parts(self) -> Texts:
        """The words that the rules take, two for each."""
        made = self.made
        spaces = np.flatnonzero(self.texts.letters == ord(" "))
        ends = np.empty(2 * len(self), np.int64)
        ends[::2], ends[1::2] = spaces - np.arange(len(self)), made.ends
        return Texts(made.data, ends)

    def as_pairs(self) -> Self:
        """Return the same rules, listed as pairs."""
        return type(self)(self.texts, paired=True)

    def as_json(self) -> bytes:
        """Return the rules in JSON, as the file lists them."""
        if not (self.paired and len(self)):
            return self.texts.as_json()
        pairs = self.texts.escaped().divided(b'"],["').replace(b" ", b'","')
        return b'[["%b]' % pairs[:-3]

    def unknown(self, words: Texts) -> list[str]:
        """Return what the rules take or make that is none of the words, in order.

        In most vocabularies what rules make stands in their order, which is seen
        without looking each of them up.
        """
        known, found = set(words.pieces()), set[bytes]()
        in_a_row = _are_in_a_row(self.made, words)
        for texts in self.texts.blocks():
            rules = type(self)(texts, self.paired)
            for column in (rules.parts, *(() if in_a_row else (rules.made,))):
                found |= set(column.pieces()) - known
        return sorted(piece.decode() for piece in found)

    def __len__(self) -> int:
        """Return how many rules there are."""
        return len(self.texts)

    def __getitem__(self, index: Any) -> Any:
        """Return a rule or several, as the file lists them."""
        if isinstance(index, slice):
            return list(type(self)(self.texts[index], self.paired))
        text = self.texts[index]
        return text.split(" ") if self.paired else text

    def __iter__(self) -> Iterator[Any]:
        """Yield the rules, as the file lists them."""
        texts = iter(self.texts)
        return (text.split(" ") for text in texts) if self.paired else texts

    def __eq__(self, other: object) -> bool:
        """Compare with any sequence, rule by rule."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def spaced_pairs(parts: Texts) -> Texts:
    """Return texts two by two, with a space between."""
    spaced = np.frombuffer(parts.divided(b" "), np.uint8)
    is_kept = np.ones(len(spaced), np.bool_)
    is_kept[(parts.ends + np.arange(len(parts)))[1::2]] = False
    ends = parts.ends[1::2] + np.arange(1, len(parts) // 2 + 1)
    return Texts(spaced[is_kept].tobytes(), ends)


def _are_in_a_row(made: Texts, words: Texts) -> bool:
    """Return whether texts follow each other among some words."""
    if not len(made):
        return True
    first = words.places_of(made[:1]).get(made[0])
    return first is not None and words[first : first + len(made)] == made


def in_order(numbers: Places) -> bool:
    """Return whether numbers count from 0."""
    return np.array_equal(numbers, np.arange(len(numbers)))
