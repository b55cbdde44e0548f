"""Whether bytes are UTF-8 text, checked without holding the text."""

import codecs
from collections.abc import Iterable
from itertools import chain

from aprhub.api import CorruptFileError, FileRange
from aprhub_gguf.strings import LENGTH_BYTES

_PIECE = 1 << 20


def decoded(data: bytes, place: FileRange, where: str) -> str:
    """Return the text of bytes that were found at a place.

    Raises CorruptFileError when they are something else.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _not_text(data, error.start, place, where) from error


def require_texts(
    data: bytes, long_lengths: Iterable[int], place: FileRange, where: str
) -> None:
    """Raise CorruptFileError unless strings with their lengths are UTF-8.

    A length below 128 is itself a sequence of ASCII characters, so that it neither
    completes a character nor begins one: the strings around it can be checked in one
    go. `long_lengths` are the positions of all other lengths.
    """
    begin = 0
    for end in chain(long_lengths, (len(data),)):
        bad = _undecodable(memoryview(data)[begin:end])
        if bad is not None:
            raise _not_text(data, begin + bad, place, where)
        begin = end + LENGTH_BYTES


def _undecodable(data: memoryview) -> int | None:
    """Return the position of the first byte that is not part of a character."""
    position = 0
    while position < len(data):
        piece = data[position : position + _PIECE]
        is_last = position + len(piece) == len(data)
        try:
            position += codecs.utf_8_decode(piece, "strict", is_last)[1]
        except UnicodeDecodeError as error:
            return position + error.start
    return None


def _not_text(
    data: bytes, position: int, place: FileRange, where: str
) -> CorruptFileError:
    return CorruptFileError(
        place.path,
        f"byte {data[position]:#04x} is not part of UTF-8 text",
        where=where,
        offset=place.offset + position,
    )
