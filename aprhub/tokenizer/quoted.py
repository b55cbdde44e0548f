"""Where the strings are in a part of a JSON text."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import orjson
from attrs import frozen
from numpy.typing import NDArray

from aprhub.ir.texts import Texts
from aprhub.ir.words import Places

Letters = NDArray[np.uint8]

_BLOCK: Final = 1 << 14
_PIECE: Final = 1 << 18
"""How many strings, and how many bytes, are looked at at a time."""

_LOWEST: Final = ord(" ")


class OddTextError(Exception):
    """The text is not made as expected: the parser has to see why."""


@frozen
class Strings:
    """The strings in a part of a text: where the quotes of each are.

    `has_escape` says which of them have a backslash; `nexts` are where the next string
    opens, or the part ends.
    """

    text: Letters
    opens: Places
    closes: Places
    nexts: Places
    has_escape: NDArray[np.bool_]

    def blocks(self) -> Iterator["Strings"]:
        """Yield some at a time: what is made of them stays in the processor's cache."""
        for start in range(0, len(self.opens), _BLOCK):
            some = slice(start, start + _BLOCK)
            yield Strings(
                self.text,
                self.opens[some],
                self.closes[some],
                self.nexts[some],
                self.has_escape[some],
            )

    def texts(self) -> Texts:
        """Return what the strings say."""
        found = Texts.cut(self.text, self.opens + 1, self.closes)
        letters = found.letters
        if not found.is_valid or (letters.size and letters.min() < _LOWEST):
            raise OddTextError
        odd = np.flatnonzero(self.has_escape)
        if not len(odd):
            return found
        quoted = Texts.cut(self.text, self.opens[odd], self.closes[odd] + 1)
        said = orjson.loads(b"[" + quoted.divided(b",")[:-1] + b"]")
        return found.replaced(dict(zip(odd.tolist(), said, strict=True)))


def found_strings(
    program: bytes, begin: int, limit: int, marks: bytes
) -> tuple[Strings, int]:
    """Return the strings up to the bracket that ends a part, and where that is."""
    text = np.frombuffer(program, np.uint8)
    places, letters = _places(text, begin, limit, b'"\\' + marks)
    is_quote, slashes = letters == ord('"'), np.flatnonzero(letters == ord("\\"))
    is_quote[_escaped(places, slashes)] = False
    is_outside = np.bitwise_xor.accumulate(is_quote.view(np.uint8)) == 0
    stop = _end(letters, is_outside, marks)
    end = int(places[stop])
    quotes = places[:stop][is_quote[:stop]]
    if not len(quotes) or len(quotes) % 2:
        raise OddTextError
    opens, closes = quotes[::2], quotes[1::2]
    has_escape = np.zeros(len(opens), np.bool_)
    # A backslash outside of strings is found when what stands there is looked at.
    odd = places[slashes[slashes < stop]]
    has_escape[np.maximum(np.searchsorted(opens, odd) - 1, 0)] = True
    nexts = np.append(opens[1:], places[stop])
    return Strings(text, opens, closes, nexts, has_escape), end


def _places(
    text: Letters, begin: int, limit: int, marks: bytes
) -> tuple[Places, Letters]:
    """Return where one of some characters stands, and which."""
    kind = np.int32 if limit <= np.iinfo(np.int32).max else np.int64
    found, letters = [np.empty(0, kind)], [np.empty(0, np.uint8)]
    for start in range(begin, limit, _PIECE):
        piece = text[start : min(start + _PIECE, limit)]
        is_one = piece == marks[0]
        for mark in marks[1:]:
            is_one |= piece == mark
        found.append((np.flatnonzero(is_one) + start).astype(kind))
        letters.append(piece[is_one])
    return np.concatenate(found), np.concatenate(letters)


def _escaped(places: Places, slashes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return what stands right behind an odd number of backslashes."""
    if not len(slashes):
        return slashes
    goes_on = np.diff(places[slashes]) == 1
    lasts = np.flatnonzero(np.append(~goes_on, True))
    last = slashes[lasts[np.diff(lasts, prepend=-1) % 2 == 1]]
    last = last[last + 1 < len(places)]
    escaped: NDArray[np.intp] = last[places[last + 1] == places[last] + 1] + 1
    return escaped


def _end(letters: Letters, is_outside: NDArray[np.bool_], marks: bytes) -> int:
    """Return which bracket closes what was opened before all of them.

    What is inside comes one behind the other, so that the first that closes before
    another one opens is it.
    """
    opening = np.flatnonzero((letters == marks[0]) & is_outside)
    closing = np.flatnonzero((letters == marks[1]) & is_outside)
    count = min(len(opening), len(closing))
    early = np.flatnonzero(closing[:count] < opening[:count])
    place = int(early[0]) if len(early) else count
    if place == len(closing):
        raise OddTextError
    return int(closing[place])
