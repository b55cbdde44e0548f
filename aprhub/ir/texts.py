"""A column of texts: many short ones, kept as one.

A list of the tokens of a large vocabulary takes twenty times as much memory as their
letters, and looking at each of them a hundred times as long as at all of them at once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Protocol, Self, overload, runtime_checkable

import numpy as np
import orjson
from attrs import evolve, frozen
from numpy.typing import NDArray

from aprhub.errors import UnrepresentableError
from aprhub.files import undecodable
from aprhub.ir.words import Places, hashes_of

Bytes = NDArray[np.uint8]

BLOCK: Final = 1 << 15
"""How many texts are gone through at a time, whose objects stay in the cache."""

_MUCH: Final = 1 << 22
"""More bytes than this are cut text by text: to note where each byte is takes room."""

_CONTINUES: Final = 0x80
_BEGINS: Final = 0xC0
"""Bytes from the first to before the second begin no character of UTF-8."""


@frozen(eq=False, repr=False)
class Texts(Sequence[str]):
    """Texts one behind the other, in UTF-8; `ends` are where in `data` each ends.

    Equal to any sequence of the same texts. A slice is a column, too.
    """

    data: bytes
    ends: Places
    are_known_distinct: bool = False

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Put texts into a column; raises UnrepresentableError for no Unicode."""
        listed = list(texts)
        try:
            data = "\0".join((*listed, "")).encode()
        except UnicodeEncodeError as error:
            begin = error.object.rfind("\0", 0, error.start) + 1
            odd = f"{error.object[begin : error.end][-20:]!a}"
            what = f"not valid Unicode ({error.reason}); correct {odd} in the source"
            raise UnrepresentableError("tokenizer", what) from error
        zeros = np.flatnonzero(np.frombuffer(data, np.uint8) == 0)
        if len(zeros) == len(listed):
            return cls(data.replace(b"\0", b""), zeros - np.arange(len(zeros)))
        pieces = [text.encode() for text in listed]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        return cls(b"".join(pieces), np.cumsum(lengths))

    @classmethod
    def cut(cls, data: bytes | Bytes, starts: Places, stops: Places) -> Self:
        """Return the texts that stand between two places each; none is checked."""
        whole, lengths = np.frombuffer(data, np.uint8), stops - starts
        found = []
        for some in range(0, len(lengths), BLOCK):
            begins, sizes = starts[some : some + BLOCK], lengths[some : some + BLOCK]
            if sizes.sum() > _MUCH:
                ends = (begins + sizes).tolist()
                bounds = zip(begins.tolist(), ends, strict=True)
                found += [whole[begin:end].tobytes() for begin, end in bounds]
                continue
            places = np.repeat(begins - (np.cumsum(sizes) - sizes), sizes)
            places += np.arange(len(places))
            found.append(whole[places].tobytes())
        return cls(b"".join(found), np.cumsum(lengths))

    @classmethod
    def joined(cls, columns: Sequence["Texts"]) -> Self:
        """Return the texts of several columns, one behind the other."""
        lengths = [np.empty(0, np.int64), *(each.lengths for each in columns)]
        data = b"".join(each.data for each in columns)
        return cls(data, np.cumsum(np.concatenate(lengths)))

    @property
    def lengths(self) -> Places:
        """How many bytes each text has."""
        return self.ends - self.starts

    @property
    def begin_characters(self) -> NDArray[np.bool_]:
        """Which bytes of `data` begin a character."""
        return (self.letters < _CONTINUES) | (self.letters >= _BEGINS)

    @property
    def starts(self) -> Places:
        """Where in `data` each text begins."""
        starts = np.zeros_like(self.ends)
        starts[1:] = self.ends[:-1]
        return starts

    @property
    def letters(self) -> Bytes:
        """The bytes of all texts."""
        return np.frombuffer(self.data, np.uint8)

    @property
    def is_valid(self) -> bool:
        """Whether each text is UTF-8: all together, and none begins in a character."""
        begins = self.begin_characters[self.starts[self.lengths > 0]]
        return bool(begins.all()) and undecodable(self.data) is None

    @cached_property
    def are_distinct(self) -> bool:
        """Whether no text is there twice.

        Texts of different hashes are different, and seldom two have one.
        """
        if self.are_known_distinct:
            return True
        hashes = np.sort(hashes_of(self.data, self.starts, self.lengths))
        if (np.diff(hashes) != 0).all():
            return True
        return len(set(self.pieces())) == len(self)

    @property
    def are_halved(self) -> bool:
        """Whether each text has one space."""
        spaces = np.flatnonzero(self.letters == ord(" "))
        if len(spaces) != len(self):
            return False
        return bool(np.all((self.starts <= spaces) & (spaces < self.ends)))

    def pieces(self) -> list[bytes]:
        """Return the bytes of each text."""
        pieces = self.divided(b"\0").split(b"\0")[:-1]
        if len(pieces) == len(self):
            return pieces
        bounds = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [self.data[start:end] for start, end in bounds]

    def blocks(self, size: int = BLOCK) -> Iterator[Self]:
        """Yield the column in parts of so many texts."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def divided(self, mark: bytes) -> bytes:
        """Return the texts with a mark behind each."""
        spread, begins = self.spread(0, len(mark))
        ends = begins + self.lengths
        for place, letter in enumerate(mark):
            spread[ends + place] = letter
        return spread.tobytes()

    def as_json(self) -> bytes:
        """Return a list of the texts in JSON."""
        return b'["%b]' % self.escaped().divided(b'","')[:-2] if len(self) else b"[]"

    def escaped(self) -> Self:
        """Return the texts as they are spelled in JSON, without quotes.

        What has no letter that is spelled otherwise is left alone.
        """
        letters = self.letters
        is_odd = (letters == ord('"')) | (letters == ord("\\")) | (letters < ord(" "))
        odd = np.searchsorted(self.ends, np.flatnonzero(is_odd), side="right")
        odd = odd[np.diff(odd, prepend=-1) > 0]
        texts = list(self.take(odd))
        said = orjson.dumps("\0".join(texts))[1:-1].decode().split("\\u0000")
        if len(said) != len(texts):
            said = [orjson.dumps(text)[1:-1].decode() for text in texts]
        return self.replaced(dict(zip(odd.tolist(), said, strict=True)))

    def spread(self, before: int, after: int) -> tuple[Bytes, Places]:
        """Return the texts with zeros before and behind each, and where they begin."""
        count, gap = len(self), before + after
        spread = np.zeros(len(self.data) + gap * count, np.uint8)
        begins = self.starts + gap * np.arange(count) + before
        is_text = np.ones(len(spread), np.bool_)
        for place in range(before):
            is_text[begins - 1 - place] = False
        for place in range(after):
            is_text[begins + self.lengths + place] = False
        spread[is_text] = self.letters
        return spread, begins

    def take(self, places: Places) -> Self:
        """Return the texts at some places, in that order."""
        return type(self).cut(self.data, self.starts[places], self.ends[places])

    def extended(self, texts: Sequence[str]) -> Self:
        """Return the column with others behind it."""
        more = type(self).of(texts)
        both = type(self).joined((self, more))
        if self.are_distinct and more.are_distinct and not self.found(texts):
            return evolve(both, are_known_distinct=True)
        return both

    def replaced(self, texts: Mapping[int, str]) -> Self:
        """Return the column with other texts at some places."""
        if not texts:
            return self
        new = type(self).of(texts.values())
        places = np.arange(len(self))
        places[list(texts)] = np.arange(len(self), len(self) + len(new))
        return type(self).joined((self, new)).take(places)

    def places_of(self, texts: Iterable[str]) -> dict[str, int]:
        """Return where those of some texts stand that are there; last, if twice."""
        return {text: place for place, text in self.found(texts)}

    def found(self, texts: Iterable[str]) -> list[tuple[int, str]]:
        """Return the places where one of some texts stands, and which.

        What is as long as one of them and begins as one of them is looked at.
        """
        wanted = {text.encode(errors="surrogatepass"): text for text in texts}
        lengths, starts = self.lengths, self.starts
        likely = np.isin(lengths, list(set(map(len, wanted))))
        some = likely & (lengths > 0)
        first = np.zeros(len(self), np.uint8)
        first[some] = self.letters[starts[some]]
        likely &= np.isin(first, [each[0] if each else 0 for each in wanted])
        found = []
        for start in range(0, len(self), BLOCK):
            places = start + np.flatnonzero(likely[start : start + BLOCK])
            pieces = zip(self.take(places).pieces(), places.tolist(), strict=True)
            found += [(n, wanted[piece]) for piece, n in pieces if piece in wanted]
        return found

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> str | Self:
        """Return one text, or a column of several."""
        if not isinstance(index, slice):
            end = int(self.ends[index])
            start = int(self.ends[index - 1]) if index % len(self) else 0
            return self.data[start:end].decode()
        start, stop, step = index.indices(len(self))
        if step != 1:
            return self.take(np.arange(start, stop, step))
        begin = int(self.ends[start - 1]) if start else 0
        ends = self.ends[start:stop]
        data = self.data[begin : int(ends[-1]) if len(ends) else begin]
        return type(self)(data, ends - begin)

    def __iter__(self) -> Iterator[str]:
        """Yield the texts."""
        for block in self.blocks():
            texts = block.divided(b"\0").decode().split("\0")[:-1]
            if len(texts) != len(block):
                texts = [piece.decode() for piece in block.pieces()]
            yield from texts

    def __contains__(self, text: object) -> bool:
        """Return whether a text is there."""
        return isinstance(text, str) and bool(self.places_of((text,)))

    def __eq__(self, other: object) -> bool:
        """Compare with any sequence, text by text."""
        if isinstance(other, Texts):
            same = np.array_equal(self.ends, other.ends)
            return same and self.data == other.data
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return how many there are, and the first."""
        return f"Texts of {len(self)}: {list(self[:4])!r:.80}"


@runtime_checkable
class Columnar(Protocol):
    """What holds texts in a form of its own."""

    def column(self) -> Texts:
        """Return them as a column."""
        ...


def as_texts(values: Any) -> Texts:
    """Return any sequence of texts as a column.

    Raises UnrepresentableError for what is no Unicode.
    """
    if isinstance(values, Texts):
        return values
    return values.column() if isinstance(values, Columnar) else Texts.of(values)
