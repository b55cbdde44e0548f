"""Passages: a file of plain text as documents of bounded size."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aprhub.errors import CorruptFileError

SIZE: Final = 8 << 10
"""The most bytes in a passage: a book has dozens, an article often one."""

_BORDERS: Final = (b"\n\n", b"\n\r\n", b"\n", b" ")


def passages(file: Path) -> Iterator[str]:
    """Yield a text in order, cut after empty lines, else lines, else words.

    Put together again, passages are the text without its byte order mark. Raises
    CorruptFileError where the bytes are not UTF-8.
    """
    with file.open("rb") as source:
        position, rest = 0, b""
        while block := source.read(SIZE - len(rest)):
            rest += block
            end = _end(rest) if len(rest) == SIZE else len(rest)
            yield decoded(file, rest[:end], position)
            position, rest = position + end, rest[end:]
        if rest:
            yield decoded(file, rest, position)


def decoded(file: Path, data: bytes, position: int) -> str:
    """Return bytes as text; they begin at a position of the file."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"{data[error.start : error.end].hex()} is not UTF-8"
        offset, repair = position + error.start, "convert the file to UTF-8"
        raise CorruptFileError(file, what, offset=offset, repair=repair) from error
    return text.removeprefix(BOM_UTF8.decode()) if position == 0 else text


def _end(data: bytes) -> int:
    """Return where to cut, in the second half and never within a character."""
    half = len(data) // 2
    for border in _BORDERS:
        place = data.rfind(border, half)
        if place >= 0:
            return place + len(border)
    end = len(data)
    # A byte of the form 10xxxxxx goes on with a character; none has four of them.
    while len(data) - end < 4 and data[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1
