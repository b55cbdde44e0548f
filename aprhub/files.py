"""Files that are read: what the system refuses becomes an error about the file."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from aprhub.errors import EnvironmentFailureError, MissingFileError, near_miss

_PIECE: Final = 1 << 15
"""How much is decoded at a time: more leaves the processor's cache as a text."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the system says from within into an error about a file that is read.

    Raises MissingFileError where there is none, EnvironmentFailureError otherwise.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise missing(path) from error
    except OSError as error:
        raise EnvironmentFailureError(
            f"{path}: cannot be read: {error.strerror}; make it readable, or name"
            " another"
        ) from error


@contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Anything else is refused without opening it, since opening a pipe waits for a
    writer. Raises MissingFileError and EnvironmentFailureError.
    """
    with reading(path):
        if not path.exists():
            raise missing(path)
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no regular file"
            raise MissingFileError(path, f"it is {found}; name a file")
        with path.open("rb") as file:
            yield file


def missing(path: Path) -> MissingFileError:
    """Return the error for a path that leads nowhere; near names are suggested."""
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    near = near_miss(path.name, (each.name for each in there))
    what = f"there is no such file or folder; name one that is there{near}"
    return MissingFileError(path, what)


def undecodable(data: bytes | memoryview) -> int | None:
    """Return where bytes stop being UTF-8, or None where all of them are.

    The text, which may take four times their room, is never there as a whole.
    """
    position = 0
    while position < len(data):
        piece = data[position : position + _PIECE]
        is_last = position + len(piece) == len(data)
        try:
            position += codecs.utf_8_decode(piece, "strict", is_last)[1]
        except UnicodeDecodeError as error:
            return position + error.start
    return None
