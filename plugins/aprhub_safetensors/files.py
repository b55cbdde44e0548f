"""Opening and reading files of a stated kind and a bounded size."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aprhub.api import (
    CorruptFileError,
    EnvironmentFailureError,
    MissingFileError,
    UnsupportedFileError,
)
from aprhub_safetensors.recognition import refuse_impostor


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises MissingFileError when it is not one, without opening it, since opening a
    pipe waits for a writer; EnvironmentFailureError when the system refuses.
    """
    try:
        if not path.is_file():
            raise MissingFileError(
                path, "not there, or not a regular file; name a file that is there"
            )
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise EnvironmentFailureError(
            f"{path}: cannot be read: {error.strerror}; make it readable, or name"
            " another"
        ) from error


def read_text(path: Path, limit: int) -> str:
    """Return the text of a UTF-8 file of at most `limit` bytes."""
    data = read_bytes(path, limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptFileError(path, "not UTF-8", offset=error.start) from error


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the bytes of a file of at most `limit` bytes; no web page or pointer."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise UnsupportedFileError(
                path,
                f"has {size} bytes, at most {limit} expected; get the file again, since"
                " none of this name is so long",
            )
        data = file.read()
    refuse_impostor(path, data[:4096])
    return data
