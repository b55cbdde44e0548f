"""The large parts of a `tokenizer.json`, or of another JSON text, cut out as columns.

A vocabulary is nearly all of such a file, and its text has one form all over: a word,
a colon, a number, a comma. So all words are gone through at once, a character of each
at a time, which makes no object of any. What has not quite that form is left to the
parser.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
import orjson

from aprhub.ir.texts import Texts
from aprhub.ir.words import WORD, Places, words_of
from aprhub.tokenizer.columns import Numbered, Rules, spaced_pairs
from aprhub.tokenizer.quoted import Letters, OddTextError, Strings, found_strings

_STAND_IN: Final = b'"aprhub: cut out"'

_BLANK: Final = np.isin(np.arange(256), list(b" \t\n\r"))
_MOST_DIGITS: Final = 18
"""How many digits surely fit into 64 bits."""

_MOST_BLANKS: Final = 64
_FEW_BLANKS: Final = 3
"""How many blanks are seen in one go, if all texts have them; twice the most at all."""


_Reader = Callable[[bytes, int, int], tuple[Any, int]]
"""Given a text, where a part begins in it and before where it ends, reads the part."""

Parts = Mapping[str, tuple[re.Pattern[bytes], _Reader]]
"""How each part begins, and what reads it, by its key."""


def parsed_with_columns(
    text: bytes, keys: Iterable[str], parse: Callable[[bytes], Any]
) -> dict[str, Any] | None:
    """Return a JSON object; what it has under some keys are lists of texts: columns.

    `parse` gets a text without them, and raises ValueError for what it does not take.
    None means that the whole text has to be parsed: not all is as usual.
    """
    starts = {key: re.escape(orjson.dumps(key)) + rb"\s*:\s*\[" for key in keys}
    parts: Parts = {key: (re.compile(starts[key]), _listed) for key in starts}
    rest, found = cut_out(text, parts)
    if found:
        with suppress(ValueError):
            root = parse(rest)
            if put_back(root, found):
                return {**root}
    return None


def cut_out(text: bytes, parts: Parts) -> tuple[bytes, dict[str, Any]]:
    """Return a JSON text with stand-ins, and the parts that they stand for.

    A part that has another form than usual is left in the text. Whether a stand-in is
    where the part belongs is left to see with `put_back`.
    """
    if _STAND_IN in text:
        return text, {}
    starts = {key: start.search(text) for key, (start, _) in parts.items()}
    begins = {key: match.end() for key, match in starts.items() if match}
    spans, found = [], {}
    for key, begin in begins.items():
        limit = min([n for n in begins.values() if n > begin], default=len(text))
        try:
            found[key], end = parts[key][1](text, begin, limit)
        except (OddTextError, ValueError):
            continue
        spans.append((begin - 1, end + 1))
    rest, place = b"", 0
    for begin, end in sorted(spans):
        rest, place = rest + text[place:begin] + _STAND_IN, end
    return rest + text[place:], found


def put_back(members: Any, found: dict[str, Any]) -> bool:
    """Replace the stand-ins in a parsed object; return whether all were of it."""
    stand_in = orjson.loads(_STAND_IN)
    if not isinstance(members, dict) or any(members.get(n) != stand_in for n in found):
        return not found
    members.update(found)
    return True


def _vocabulary(program: bytes, begin: int, limit: int) -> tuple[Numbered, int]:
    """Return words and ids, and where their object ends."""
    strings, end = found_strings(program, begin, limit, b"{}")
    _require_same(strings.text, np.array([begin]), strings.opens[:1])
    parts = [_entries(some, end) for some in strings.blocks()]
    words = Texts.joined([words for words, _ in parts])
    if not words.are_distinct:
        raise OddTextError
    return Numbered(words, np.concatenate([numbers for _, numbers in parts])), end


def _entries(some: Strings, end: int) -> tuple[Texts, Places]:
    """Return words and their ids: behind each a colon and a number, and a comma."""
    after = _past(some.text, some.closes + 1, b":")
    numbers, after = _digits(some.text, _past_blanks(some.text, after))
    _require_next(some.text, after, some.nexts, end, b",")
    return some.texts(), numbers


def _rules(program: bytes, begin: int, limit: int) -> tuple[Rules, int]:
    """Return merge rules, and where their list ends."""
    strings, end = found_strings(program, begin, limit, b"[]")
    text = strings.text
    first = _past_blanks(text, np.array([begin]))
    paired = bool(text[first[0]] == ord("["))
    _require_same(text, _past(text, first, b"[" * paired), strings.opens[:1])
    read = _pairs if paired else _whole
    texts = Texts.joined([read(some, end) for some in strings.blocks()])
    if not texts.are_halved:  # nor are they where a part has a space of its own
        raise OddTextError
    return Rules(texts, paired), end


def _listed(program: bytes, begin: int, limit: int) -> tuple[Texts, int]:
    """Return a list of texts, and where it ends."""
    strings, end = found_strings(program, begin, limit, b"[]")
    _require_same(strings.text, np.array([begin]), strings.opens[:1])
    return Texts.joined([_whole(some, end) for some in strings.blocks()]), end


def _whole(some: Strings, end: int) -> Texts:
    _require_next(some.text, some.closes + 1, some.nexts, end, b",")
    return some.texts()


def _pairs(some: Strings, end: int) -> Texts:
    """Return pairs as texts with a space between."""
    if len(some.opens) % 2:
        raise OddTextError
    text = some.text
    between = _past(text, some.closes[::2] + 1, b",")
    _require_same(text, between, some.opens[1::2])
    behind = _past(text, some.closes[1::2] + 1, b"]")
    _require_next(text, behind, some.nexts[1::2], end, b",[")
    return spaced_pairs(some.texts())


TOKENIZER: Final[Parts] = {
    "vocab": (re.compile(rb'"vocab"\s*:\s*\{'), _vocabulary),
    "merges": (re.compile(rb'"merges"\s*:\s*\['), _rules),
}
"""The parts of a `tokenizer.json`; their keys are those of its model."""


def _past_blanks(text: Letters, places: Places) -> Places:
    """Return the next places that are not blank.

    A program that writes a line for each has as many blanks in front of all, which is
    seen eight at a time.
    """
    places = places + _same_blanks(text, places)
    for _ in range(2 * _MOST_BLANKS):
        is_blank = _BLANK[text[places]]
        if not is_blank.any():
            return places
        places = places + is_blank
    raise OddTextError


def _same_blanks(text: Letters, places: Places) -> int:
    """Return how many blanks stand at all places, if they are the same ones."""
    if not len(places):
        return 0
    first = int(places[0])
    is_blank = np.append(_BLANK[text[first : first + _MOST_BLANKS]], False)
    count = int(is_blank.argmin())
    if count < _FEW_BLANKS or places[-1] + count + WORD > len(text):
        return 0
    words = words_of(text)
    for start in range(0, count, WORD):
        bits = np.uint64((1 << 8 * min(count - start, WORD)) - 1)
        found = words[places + start] & bits
        if (found != found[0]).any():
            return 0
    return count


def _past(text: Letters, places: Places, marks: bytes) -> Places:
    """Return the places behind some marks, before which there may be blanks."""
    for mark in marks:
        places = _past_blanks(text, places)
        if (text[places] != mark).any():
            raise OddTextError
        places = places + 1
    return places


def _require_same(text: Letters, places: Places, expected: Places) -> None:
    """Raise unless there is nothing but blanks before the expected places."""
    if not np.array_equal(_past_blanks(text, places), expected):
        raise OddTextError


def _require_next(
    text: Letters, places: Places, nexts: Places, end: int, marks: bytes
) -> None:
    """Raise unless marks stand before what comes next, and none before the end."""
    inner = len(nexts) - int(nexts[-1] == end)
    behind = _past(text, places[:inner], marks)
    _require_same(text, np.append(behind, places[inner:]), nexts)


def _digits(text: Letters, places: Places) -> tuple[Places, Places]:
    """Return the whole numbers that stand at some places, and the places behind."""
    numbers, begins = np.zeros(len(places), np.int64), places
    for _ in range(_MOST_DIGITS):
        digits = text[places] - np.uint8(ord("0"))
        is_digit = digits < 10
        if not is_digit.any():
            break
        numbers = np.where(is_digit, 10 * numbers + digits, numbers)
        places = places + is_digit
    has_zero = (text[begins] == ord("0")) & (places - begins > 1)
    if (places == begins).any() or has_zero.any():
        raise OddTextError
    return numbers, places
