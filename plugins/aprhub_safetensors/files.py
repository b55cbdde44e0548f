"""Opening and reading files of a stated kind and a bounded size."""

import os
from pathlib import Path

from aprhub.api import (
    CorruptFileError,
    UnsupportedFileError,
    opened_file,
    undecodable,
)
from aprhub_safetensors.recognition import refuse_impostor


def read_text(path: Path, limit: int) -> str:
    """Return the text of a UTF-8 file of at most `limit` bytes."""
    return read_utf8(path, limit).decode()


def read_utf8(path: Path, limit: int) -> bytes:
    """Return the bytes of a UTF-8 file of at most `limit` bytes."""
    data = read_bytes(path, limit)
    bad = undecodable(data)
    if bad is not None:
        raise CorruptFileError(path, "not UTF-8", offset=bad)
    return data


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the bytes of a file of at most `limit` bytes; no web page or pointer."""
    with opened_file(path) as file:
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
