"""JSON files beside an adapter."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aprhub.api import (
    CorruptFileError,
    Document,
    EnvironmentFailureError,
    UnsupportedFileError,
)

LARGEST: Final = 16 << 20
"""The most bytes of a file that is read."""


def read(path: Path) -> Document | None:
    """Return the object that a file holds, or None when there is no such file."""
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST:
            size = path.stat().st_size
            raise UnsupportedFileError(
                path,
                f"has {size} bytes, at most {LARGEST} are read; if it is not the"
                " adapter's own, move it to another folder",
            )
        return Document.parse(path, path.read_text("utf-8"))
    except OSError as error:
        raise EnvironmentFailureError(
            f"{path}: cannot be read: {error.strerror}; get the right to read it, or"
            " another copy"
        ) from error
    except UnicodeDecodeError as error:
        at = error.start
        what = f"byte {error.object[at]:#04x} is not part of UTF-8 text"
        repair = "save it as UTF-8"
        raise CorruptFileError(path, what, offset=at, repair=repair) from error


def written(values: Mapping[str, Any]) -> str:
    """Return the text of a file with an object."""
    return json.dumps(values, indent=2) + "\n"
