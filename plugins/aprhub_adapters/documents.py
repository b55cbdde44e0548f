"""JSON files beside an adapter."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aprhub.api import (
    CorruptFileError,
    Document,
    UnsupportedFileError,
    opened_file,
)

LARGEST: Final = 16 << 20
"""The most bytes of a file that is read."""


def read(path: Path) -> Document | None:
    """Return the object that a file holds, or None when there is no such file."""
    if not path.is_file():
        return None
    with opened_file(path) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UnsupportedFileError(
            path,
            f"has more than {LARGEST} bytes, which are the most that are read; if it"
            " is not the adapter's own, move it to another folder",
        )
    try:
        return Document.parse(path, data.decode())
    except UnicodeDecodeError as error:
        at = error.start
        what = f"byte {error.object[at]:#04x} is not part of UTF-8 text"
        repair = "save it as UTF-8"
        raise CorruptFileError(path, what, offset=at, repair=repair) from error


def written(values: Mapping[str, Any]) -> str:
    """Return the text of a file with an object."""
    return json.dumps(values, indent=2) + "\n"
