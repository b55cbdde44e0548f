"""Whether bytes are UTF-8 text, checked without holding the text."""

from collections.abc import Iterable
from itertools import chain

from aprhub.api import CorruptFileError, FileRange, undecodable
from aprhub_gguf.strings import LENGTH_BYTES


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
        bad = undecodable(memoryview(data)[begin:end])
        if bad is not None:
            raise _not_text(data, begin + bad, place, where)
        begin = end + LENGTH_BYTES


def _not_text(
    data: bytes, position: int, place: FileRange, where: str
) -> CorruptFileError:
    return CorruptFileError(
        place.path,
        f"byte {data[position]:#04x} is not part of UTF-8 text",
        where=where,
        offset=place.offset + position,
    )
